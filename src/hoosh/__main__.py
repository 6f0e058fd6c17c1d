"""`python -m hoosh`."""

from hoosh.cli import main

if __name__ == "__main__":
    main()
