"""The book of motives: scenes written by hand become the data that small models learn from."""
