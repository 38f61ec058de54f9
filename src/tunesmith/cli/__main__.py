"""`python -m tunesmith.cli`: the command, for a machine on which it isn't in the path."""

from tunesmith.cli.main import main

if __name__ == "__main__":
    main()
