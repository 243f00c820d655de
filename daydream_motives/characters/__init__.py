"""Sheets, relationships and live characters."""
