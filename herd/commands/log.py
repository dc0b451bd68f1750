"""`herd log`: what happened, one readable line an event; `--follow` goes on as it happens."""

import sys
import time
from collections.abc import Iterator, Sized
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec

from herd.analysis import open_log
from herd.clock import wall_s
from herd.errors import HerdError
from herd.journal.reader import position_of
from herd.journal.tail import Tail
from herd.logd.readers import ask
from herd.moments import parse
from herd.paths import DataDir, default_data_dir
from herd.signing import fingerprint

POLL_S = 0.25
END = sys.maxsize
"""After every event there is."""
_ENVELOPE = frozenset({"seq", "recorded_at", "src", "n", "cause", "k", "v"})
_ABOUT = ("request_id", "model", "node_id")
_KEYS = frozenset({"node_key", "replaces"})
"""Fields with an agent's public key; people compare fingerprints of these."""
_KIND_WIDTH = 20
_LONGEST_TEXT = 120
_BATCH = 10_000

_BAD = frozenset({"failed", "rejected", "reaped", "interrupted", "opened", "offline", "lost"})


class Wanted(NamedTuple):
    """Which events to show."""

    request_id: str = ""
    kinds: tuple[str, ...] = ()
    node_id: str = ""
    model: str = ""
    since_us: int = 0
    until_us: int = END
    """Exclusive."""

    def takes(self, event: dict[str, Any]) -> bool:
        """Return whether one is wanted."""
        return (
            str(event.get("request_id", "")).startswith(self.request_id)
            and (not self.kinds or event["k"] in self.kinds)
            and self.node_id in {"", event.get("node_id")}
            and self.model in {"", event.get("model")}
            and self.since_us <= event["recorded_at"] < self.until_us
        )


@click.command()
@click.argument("request_id", default="")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind of event; may be repeated.")
@click.option("--node", "node_id", default="", help="Only events of this node.")
@click.option("--model", default="", help="Only events of this model, with its tag.")
@click.option("--since", metavar="TIME", help="From there on: 14:30, 2025-10-09T14:30, or 10m ago.")
@click.option("--until", metavar="TIME", help="Up to there; with --follow it ends then.")
@click.option(
    "--last", type=click.IntRange(0), help="The last so many; 50 if nothing is asked for."
)
@click.option("--json", "as_json", is_flag=True, help="Write the lines as they are stored.")
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
def command(  # noqa: PLR0913 (one parameter an option)
    *,
    request_id: str,
    path: Path | None,
    kinds: tuple[str, ...],
    node_id: str,
    model: str,
    since: str | None,
    until: str | None,
    last: int | None,
    data_dir: str | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what happened: the last events, or those of REQUEST_ID (its first letters suffice).

    PATH is a data directory, or an incident file; of one alone (`herd log slow.herd`) the last
    events are shown.

    A TIME is a time of today (14:30), a date and time (2025-10-09T14:30), or an age (30s, 10m, 2h,
    1d). `herd log --since 2h --until 1h --kind request_failed` shows the hour before the last.
    """
    if path is None and Path(request_id).is_file():
        request_id, path = "", Path(request_id)
    if path is not None and data_dir is not None:
        raise click.UsageError("name a PATH or a --data-dir, not both")
    root = path if data_dir is None else Path(data_dir)
    directory = default_data_dir() if root is None else DataDir(root)
    if follow and directory.root.is_file():
        raise click.UsageError("an incident file does not grow: leave --follow out")
    now_us = round(wall_s() * 1e6)
    wanted = Wanted(
        request_id,
        kinds,
        node_id,
        model,
        parse(since, now_us) if since else 0,
        parse(until, now_us) if until else END,
    )
    if wanted.since_us >= wanted.until_us:
        raise HerdError(f"--until {until} is not after --since {since}")
    most = last if last is not None else END if request_id or since or until else 50
    tail = Tail(directory.journal, position_of(directory.journal, END))
    seq = 0
    for line in _stored(directory, wanted, most, waiting=follow):
        seq = _show(line, as_json=as_json)
    if follow:
        for line in _following(tail, wanted, seq):
            _show(line, as_json=as_json)
    elif not seq:
        raise _nothing(wanted)


def _stored(directory: DataDir, wanted: Wanted, most: int, *, waiting: bool) -> Iterator[str]:
    """Yield the newest stored lines that are wanted, oldest first."""
    conditions = ["starts_with(coalesce(request_id, ''), $request_id)"]
    parameters: dict[str, object] = {"request_id": wanted.request_id, "most": most}
    if wanted.kinds:
        conditions.append("list_contains($kinds, kind)")
        parameters["kinds"] = list(wanted.kinds)
    if wanted.node_id:
        conditions.append("node_id = $node_id")
        parameters["node_id"] = wanted.node_id
    if wanted.model:
        conditions.append("model = $model")
        parameters["model"] = wanted.model
    if wanted.since_us:
        conditions.append("recorded_at >= make_timestamp($since_us)")
        parameters["since_us"] = wanted.since_us
    if wanted.until_us < END:
        conditions.append("recorded_at < make_timestamp($until_us)")
        parameters["until_us"] = wanted.until_us
    try:
        log = open_log(directory.root)
    except HerdError:
        if waiting:  # it may begin any moment
            return
        raise
    with log:
        result = ask(
            log,
            "SELECT line FROM (SELECT seq, payload::VARCHAR AS line FROM events"  # noqa: S608 (constants)
            f" WHERE {' AND '.join(conditions)} ORDER BY seq DESC LIMIT $most) ORDER BY seq",
            parameters,
        )
        while rows := result.fetchmany(_BATCH):
            for (line,) in rows:
                yield line


def _following(tail: Tail, wanted: Wanted, seq: int) -> Iterator[str]:
    """Yield the lines after `seq` that are wanted as they are written, until the time is up."""
    while True:
        over = wall_s() * 1e6 >= wanted.until_us  # asked before the tail: what it has then is all
        chunk = tail.read()
        if chunk is None:
            if over:
                return
            time.sleep(POLL_S)
            continue
        for line in chunk.data.splitlines():
            event = _event(line)
            if event is not None and event["seq"] > seq and wanted.takes(event):
                seq = event["seq"]
                yield line.decode()


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the event in a line of the journal; None if it is damaged."""
    try:
        event = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    return event if event.keys() >= {"seq", "recorded_at", "k"} else None


def _show(line: str, *, as_json: bool) -> int:
    """Write one event, and return its number."""
    event: dict[str, Any] = msgspec.json.decode(line)
    click.echo(line if as_json else readable(event))
    return int(event["seq"])


def readable(event: dict[str, Any]) -> str:
    """Return an event as one line for people: time, kind, what it is about, the other fields."""
    when = datetime.fromtimestamp(event["recorded_at"] / 1e6, UTC).astimezone()
    kind = str(event["k"])
    about = [str(event[name]) for name in _ABOUT if event.get(name)]
    more = [
        f"{name}={fingerprint(value) if name in _KEYS and value else _value(value)}"
        for name, value in event.items()
        if name not in _ENVELOPE and name not in _ABOUT
    ]
    return "  ".join(
        [
            click.style(
                when.strftime("%m-%d %H:%M:%S.") + f"{when.microsecond // 1000:03d}", dim=True
            ),
            click.style(f"{kind:<{_KIND_WIDTH}}", fg="red" if _is_bad(kind) else "cyan"),
            *about,
            " ".join(more),
        ]
    ).rstrip()


def _is_bad(kind: str) -> bool:
    return not _BAD.isdisjoint(kind.split("_"))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sized) and not isinstance(value, str):
        return f"<{len(value)}>"
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


def _nothing(wanted: Wanted) -> HerdError:
    what = f"no event of request {wanted.request_id}" if wanted.request_id else "no such event"
    return HerdError(
        f"{what} in the log",
        '`herd sql "SELECT kind, count(*) FROM events GROUP BY kind"` shows what there is',
    )
