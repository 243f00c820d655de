"""`python -m daydream_motives` is the `daydream` command."""

from daydream_motives.cli import main

if __name__ == "__main__":
    main()
