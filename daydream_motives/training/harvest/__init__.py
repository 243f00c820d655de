"""From journals of games to what they teach."""
