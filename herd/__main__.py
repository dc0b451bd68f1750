"""`python -m herd` is `herd`."""

from herd.cli import main

if __name__ == "__main__":
    main()
