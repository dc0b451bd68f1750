"""Writes the pages that are made from the sources: `python -m tests.docs`."""

import sys

from tests.docs.pages import pages

if __name__ == "__main__":
    for path, make in pages().items():
        path.write_text(make(), encoding="utf-8")
        sys.stdout.write(f"{path}\n")
