"""Requests that a game does not wait for."""
