"""Learning from pairs of a chosen and a rejected answer, from where training ended."""
