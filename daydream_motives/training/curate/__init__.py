"""From what journals teach and the shipped data to one dataset."""
