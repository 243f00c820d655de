"""Daydream Motives."""
