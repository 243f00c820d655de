"""A world set in motion."""
