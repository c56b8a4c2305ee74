"""`python -m graftwork` is the command `graftwork`."""

from graftwork.cli.main import main

if __name__ == "__main__":
    main()
