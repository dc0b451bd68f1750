"""Checks of herd itself: its log, its disk, its clock, its own failures."""

from collections.abc import Iterator

from herd.health.finding import Finding, counted
from herd.health.picture import Picture, newest

LOW_BYTES = 1_000_000_000
EMPTY_BYTES = 128 << 20
LAG_S = 30.0
AHEAD_S = 5.0


def recording_off(picture: Picture) -> Iterator[Finding]:
    """Find that the journal cannot be written."""
    if not picture.view.recording:
        yield Finding(
            check_id="recording_off",
            severity="critical",
            title="Nothing is recorded",
            description="The journal cannot be written: herd serves on, and what happens now will "
            "be missing from every figure.",
            fix="Make room on the disk of the data directory (`herd where` names it), or mend it; "
            "recording goes on by itself.",
        )


def gaps(picture: Picture) -> Iterator[Finding]:
    """Find events that are missing from the log, and lines of it that cannot be read."""
    resumed = picture.happened("recording_resumed")
    missing, unread = picture.log.missing_events, picture.log.quarantined_lines
    if missing or unread or resumed:
        yield Finding(
            check_id="log_gaps",
            severity="warning" if resumed else "info",
            title="The log has gaps",
            description=f"{missing} events are missing and {unread} lines cannot be read: figures "
            "of that time are too low.",
            fix=f"`herd log{' --kind recording_resumed' * bool(resumed)}` shows where; a full disk "
            "is the usual reason.",
            data={"missing_events": missing, "quarantined_lines": unread},
            seqs=newest(*(each.seqs for each in resumed)),
        )


def disk_full(picture: Picture) -> Iterator[Finding]:
    """Find that there is little room left for the log."""
    free = picture.log.free_bytes
    if free is not None and free < LOW_BYTES:
        yield Finding(
            check_id="disk_full",
            severity="critical" if free < EMPTY_BYTES else "warning",
            title="The disk of the log is nearly full",
            description=f"{free / 1e6:.0f} MB are free where the data directory is.",
            fix="Make room there (`herd where` names it), or keep less of the log "
            "(`FLEET_LOG_KEEP_DAYS`, `FLEET_LOG_MAX_BYTES`).",
            data={"free_bytes": free},
        )


def log_away(picture: Picture) -> Iterator[Finding]:
    """Find that logd does not answer."""
    if picture.log.away:
        yield Finding(
            check_id="log_away",
            severity="critical",
            title="The log cannot be asked",
            description="logd does not answer. Requests are served and written to the journal as "
            "ever; figures, trends and all checks of what happened wait for it.",
            fix="logd's own lines are in the log file (`herd where`). It is started again by "
            "itself if it ends, and set going again if somebody has stopped it.",
        )


def log_lag(picture: Picture) -> Iterator[Finding]:
    """Find that what happened is not in the database yet."""
    if picture.log.lag_s > LAG_S:
        yield Finding(
            check_id="log_lag",
            severity="warning",
            title="The figures are behind",
            description=f"What was recorded {picture.log.lag_s:.0f} s ago is not in the database "
            "yet: figures and health are of before that.",
            fix="logd's own lines are in the log file (`herd where`).",
            data={"lag_s": round(picture.log.lag_s, 1)},
        )


def clock_skew(picture: Picture) -> Iterator[Finding]:
    """Find that this machine's clock went back: the log is in its future."""
    if picture.log.ahead_s > AHEAD_S:
        yield Finding(
            check_id="clock_skew",
            severity="warning",
            title="The clock of this machine went back",
            description=f"The newest event is {picture.log.ahead_s:.0f} s ahead of the clock. The "
            "log stays in order, but times in it are wrong until the clock has caught up.",
            fix="Let the machine keep its time from the network: `sudo timedatectl set-ntp true`.",
            data={"ahead_s": round(picture.log.ahead_s, 1)},
        )


def own_failures(picture: Picture) -> Iterator[Finding]:
    """Find parts of herd that failed, or were lost with their connections."""
    failed = picture.happened("actor_failed", "front_lost")
    if failed:
        yield Finding(
            check_id="herd_failures",
            severity="warning",
            title="herd itself failed",
            description=f"{counted(sum(each.events for each in failed), 'time')} in a day a "
            "handler raised or a front was lost; herd went on by itself.",
            fix="`herd log` tells of the events below; `herd incident save` keeps them for a "
            "report.",
            data={"kinds": sorted({each.kind for each in failed})},
            seqs=newest(*(each.seqs for each in failed)),
        )
