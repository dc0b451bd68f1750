"""`herd incident`: a part of the log as one redacted file, and what is in such a file."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import msgspec

from herd.finite import Finite
from herd.progress import watched
from herd.replay.check import Report
from herd.replay.incident import Content, content, save, window
from herd.replay.source import Source
from herd.tables import printable


@click.group()
def command() -> None:
    """Save a part of the log as one file that anybody can replay, and look into such files.

    What reads a log takes the file too: `herd replay FILE --check`, `herd sql --data-dir FILE`.
    """


@command.command("save")
@click.option("--around", required=True, help="A request's first letters, or a time: 14:05, now.")
@click.option(
    "--minutes",
    type=Finite(min=0),
    default=5.0,
    show_default=True,
    help="How much before and after it.",
)
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--keep-clients", is_flag=True, help="Keep the addresses and names of clients.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def save_command(  # noqa: PLR0913 (one parameter an option)
    *,
    around: str,
    minutes: float,
    data_dir: str | None,
    keep_clients: bool,
    force: bool,
    file: Path,
) -> None:
    """Save what happened around a time, or around a request, as FILE (incident.herd).

    Clients are called client-1, client-2 in it, and paths are taken out. The names, models and
    addresses of nodes stay. Prompts and answers are in no log.
    """
    with Source(data_dir) as source:
        what = window(source, around, minutes)
        watch = partial(watched, what="saving")
        report = save(source, what, file, keep_clients=keep_clients, force=force, watch=watch)
    size_kb = file.stat().st_size / 1000
    click.echo(f"{file}: {report.events:,} events around {what.around}, {size_kb:,.0f} kB")
    if not what.whole:
        click.echo("it begins at the first stored state: the log has none that is older")
    click.echo(_replay(report))


@command.command("show")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show_command(file: Path, *, as_json: bool) -> None:
    """Show what is in FILE, and whether it replays."""
    found = content(file)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        for name, value in _shown(found):
            click.echo(f"{click.style(f'{name:<9}', bold=True)} {printable(value)}")
    if found.replayed.divergences:
        sys.exit(1)


def _shown(found: Content) -> Iterator[tuple[str, str]]:
    header, requests = found.header, found.requests
    yield "incident", f"{header.minutes:g} min around {header.around}, by herd {header.made_by}"
    yield "time", f"{found.first_at} to {found.last_at}"
    states = f"{found.stored_states} stored state{'s' if found.stored_states > 1 else ''}"
    yield "events", f"{found.events:,}, seq {header.first_seq} to {header.last_seq}; {states}"
    yield "nodes", ", ".join(found.nodes) or "none"
    yield "requests", f"{sum(requests.values()):,}" + _counted(requests, before=": ")
    yield "troubles", _counted(found.troubles) or "none"
    yield "redacted", ", ".join(header.redacted)
    yield "replay", _replay(found.replayed)


def _counted(counts: dict[str, int], before: str = "") -> str:
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return before + told if told else ""


def _replay(report: Report) -> str:
    many = len(report.divergences)
    told = f"{report.dispatches:,} dispatches made again, {many} divergence{'s' * (many != 1)}"
    if report.divergences:
        return f"{told}, the first at seq {report.divergences[0].seq}: herd replay FILE --check"
    return told
