"""`python -m benchmarks [NAME ...] [--quick]`: all but the long ones, or some."""

import subprocess
import sys

NAMES = ("core", "policy", "disconnect", "log", "memory", "kills", "http", "placement", "whatif")
LONG = (
    "soak",
    "pages",
    "browser",
    "whatif_real",
    "placement.real",
    "placement.real_proof",
    "placement.alone",
    "placement.predicted",
)
"""Only where they are named: they take a quarter of an hour and more."""


def main() -> int:
    """Run each in a process of its own, so that none disturbs the next."""
    told = sys.argv[1:]
    options = [word for word in told if word.startswith("-")]
    names = [word for word in told if not word.startswith("-")] or list(NAMES)
    unknown = [name for name in names if name not in (*NAMES, *LONG)]
    if unknown or "--help" in options or "-h" in options:
        print(
            f"{__doc__}\nNames: {', '.join((*NAMES, *LONG))}. "
            "Options go to each; --quick is one short try."
        )
        return 2 if unknown else 0
    worst = 0
    for name in names:
        command = [sys.executable, "-m", f"benchmarks.{name}", *options]
        worst = max(worst, subprocess.run(command, check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
