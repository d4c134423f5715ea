"""`python -m slrprune`: the command line, where the command `slrprune` is not on the path."""

from slrprune.cli import main

if __name__ == "__main__":
    main()
