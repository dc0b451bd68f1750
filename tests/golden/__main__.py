"""Appends the golden lines and fields that are missing: `python -m tests.golden`."""

import sys

from tests.golden import stored

if __name__ == "__main__":
    lines = stored.missing_lines()
    with stored.LINES.open("ab") as file:
        file.writelines(lines)
    shapes = stored.missing_shapes()
    with stored.FIELDS.open("ab") as file:
        file.writelines(shapes)
    sys.stdout.write(f"{len(lines)} lines and the fields of {len(shapes)} classes appended\n")
