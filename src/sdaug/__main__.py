"""`python -m sdaug` is `sdaug`."""

from sdaug.cli import main

if __name__ == "__main__":
    main()
