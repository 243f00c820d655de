"""Supervised training: data in batches, the model with its adapter, the loop, what it leaves."""
