"""From journals to better models. The only importer of torch."""
