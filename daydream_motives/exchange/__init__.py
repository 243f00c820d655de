"""Worlds and graphs in the formats of others, in and out."""
