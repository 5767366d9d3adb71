"""`python -m capstan` is the command `capstan`."""

from capstan.cli import main

if __name__ == "__main__":
    main()
