"""`python -m daydream_motives.training`."""

from daydream_motives.training.cli import main

main(prog_name="python -m daydream_motives.training")
