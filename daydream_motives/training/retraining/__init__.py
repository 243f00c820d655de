"""All stages in a row, from journals to a model that serves, or does not. Trains nothing itself."""
