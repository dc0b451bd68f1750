"""Makes the known log anew, when decisions were changed on purpose: `python -m tests.replay`."""

import sys
from collections import Counter

from events import decode
from tests.replay import known
from tests.replay.digest import replay


def kinds(lines: list[bytes]) -> Counter[str]:
    """Count the kinds of events."""
    return Counter(type(decode(line).event).__name__ for line in lines)


def remake() -> list[str]:
    """Write the log and its digests; return what changed, for people."""
    new = known.told()
    replayed = replay(new)
    if replayed.parted is not None:
        return ["not written: the new log does not replay:", *replayed.parted]
    report: list[str] = []
    old = known.lines() if known.LOG.exists() else []
    if old:
        parted = replay(old).parted
        if parted is not None:
            report += ["the old log was decided otherwise; its first such line, and today's:"]
            report += [line.rstrip() for line in parted]
        if old == new:
            return ["nothing changed"]
        before, after = kinds(old), kinds(new)
        report += [
            f"{kind}: {before[kind]} -> {after[kind]}"
            for kind in sorted(before | after)
            if before[kind] != after[kind]
        ]
    known.keep(new, replayed.digest)
    size = known.LOG.stat().st_size
    report += [f"{known.LOG.name}: {replayed.digest.events} events, {size / 1000:.0f} kB"]
    if size > known.LARGEST_BYTES:
        report += [f"larger than {known.LARGEST_BYTES / 1000:.0f} kB: tell a shorter story"]
    return report


if __name__ == "__main__":
    sys.stdout.write("\n".join(remake()) + "\n")
