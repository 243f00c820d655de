"""From what was learnt to a file that the game runs, checked against what was learnt."""
