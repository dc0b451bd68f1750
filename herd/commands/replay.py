"""`herd replay`: run the log again through the code that wrote it, or look at a moment of it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import click
import msgspec

from actors.core.state import State, dump
from events import Recorded
from herd.errors import HerdError
from herd.moments import parse, shown
from herd.progress import watched
from herd.replay.check import Report
from herd.replay.cores import check_on_all_cores
from herd.replay.picture import picture, totals
from herd.replay.source import Source
from herd.tables import printable, show

SHOWN = 40
"""Rows of a table on the terminal."""


@click.command("replay")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--check", "checking", is_flag=True, help="Recompute and compare every decision.")
@click.option("--at", metavar="POINT", help="Print the state after this record, or at this time.")
@click.option(
    "--from", "begin", metavar="POINT", help="Begin at the newest stored state up to here."
)
@click.option("--json", "as_json", is_flag=True, help="Print the report, or the state, as JSON.")
def command(  # noqa: PLR0913 (one parameter an option)
    path: Path | None,
    data_dir: str | None,
    *,
    checking: bool,
    at: str | None,
    begin: str | None,
    as_json: bool,
) -> None:
    """Fold a recorded log through the balancer's own code.

    PATH is a data directory, or an incident file. With --check, every recorded decision is
    computed again from the recorded facts; the command ends with 1 and names the first place
    where the two part. With --at, the state at that point is printed: nodes, slots, who waits,
    what runs.

    A POINT is the number of a record (as in `herd log --json`) or a time: 2026-05-04T12:30:00,
    12:30 on the day the log ends, or an age before its end: 10m, 1h30m.
    """
    if path is not None and data_dir is not None:
        raise click.UsageError("name a PATH or a --data-dir, not both")
    if at is not None and (checking or begin is not None):
        raise click.UsageError("--at shows one moment; it goes with neither --check nor --from")
    with Source(path if data_dir is None else data_dir) as source:
        if at is not None:
            _print_state(source.state_at(_point(source, at), _watched), as_json=as_json)
            return
        report, took_s = _checked(source, begin)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print(report, took_s, checking=checking)
    if checking and report.divergences:
        sys.exit(1)


def _checked(source: Source, begin: str | None) -> tuple[Report, float]:
    first = source.first_seq if begin is None else source.head_at(_point(source, begin))
    began = perf_counter()
    report = check_on_all_cores(source, first, _watched, _shown)
    return report, perf_counter() - began


def _watched(records: Iterator[Recorded], total: int) -> Iterator[Recorded]:
    return watched(records, total, "replay")


def _shown(reports: Iterator[Report], total: int) -> Iterator[Report]:
    return watched(reports, total, "replay, piece by piece", every=1)


def _point(source: Source, text: str) -> int:
    """Return the `seq` of the last record up to a point that lies in the log."""
    if text.isdecimal() and int(text) <= source.last_seq:
        return int(text)
    [(begin_us, end_us)] = source.ask(
        "SELECT epoch_us(min(recorded_at)), epoch_us(max(recorded_at)) FROM events"
    )
    if text.isdecimal():
        raise HerdError(f"seq {text} is after the end of the log", _extent(source, end_us))
    time_us = parse(text, end_us or 0)
    if time_us > (end_us or 0):
        raise HerdError(f"{shown(time_us)} is after the end of the log", _extent(source, end_us))
    if time_us < begin_us:
        raise HerdError(
            f"{shown(time_us)} is before the log, which begins {shown(begin_us)}",
            f"the first record is seq {source.first_seq}",
        )
    return source.seq_at(time_us)


def _extent(source: Source, end_us: int | None) -> str:
    if end_us is None:
        return "it is empty"
    return f"it ends with seq {source.last_seq}, {shown(end_us)}"


def _print_state(state: State, *, as_json: bool) -> None:
    if as_json:
        click.echo(dump(state))
        return
    click.secho(f"after seq {state.seq}, {shown(state.recorded_at)}", bold=True)
    click.echo(totals(state))
    for section in picture(state):
        click.echo()
        click.secho(section.title, bold=True)
        show(section.header, section.rows[:SHOWN], indent=2)
        if len(section.rows) > SHOWN:
            click.echo(f"  and {len(section.rows) - SHOWN:,} more: --json has them all")


def _print(report: Report, took_s: float, *, checking: bool) -> None:
    pace = report.events / took_s if took_s else 0.0
    click.echo(
        f"{report.events:,} events in {took_s:.1f} s ({pace:,.0f}/s): {report.facts:,} facts, "
        f"{report.decisions:,} decisions, {report.dispatches:,} of them dispatches"
    )
    for first, last in report.gaps:
        click.echo(f"not in the log: seq {first} to {last}")
    if report.cut_off:
        click.echo(f"cut off by the end of a process, before it acted: {report.cut_off} facts")
    if report.skipped:
        click.echo(f"skipped, because no stored state precedes them: {report.skipped:,} events")
    if not checking:
        return
    click.echo(f"{report.snapshots} stored states compared, {len(report.divergences)} divergences")
    for divergence in report.divergences[:1]:
        click.echo(f"\nthe first is at seq {divergence.seq}, after {divergence.fact}")
        click.echo(f"  recorded: {printable(divergence.recorded) or '(nothing)'}")
        click.echo(f"  replayed: {printable(divergence.replayed) or '(nothing)'}")
