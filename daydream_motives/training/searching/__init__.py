"""The search for a better recipe: what is tried, what came of it, and how it is told."""
