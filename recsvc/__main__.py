"""`python -m recsvc`."""

from recsvc.cli import main

if __name__ == "__main__":
    main()
