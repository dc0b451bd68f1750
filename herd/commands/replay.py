"""`herd replay`: run the log again through the code that wrote it."""

import sys
from pathlib import Path
from time import perf_counter

import click
import msgspec

from herd.replay.check import Report, check
from herd.replay.source import Source


@click.command("replay")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--check", "checking", is_flag=True, help="Recompute and compare every decision.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(path: Path | None, *, checking: bool, as_json: bool) -> None:
    """Fold a recorded log through the balancer's own code.

    With --check, every recorded decision is computed again from the recorded facts; the command
    ends with 1 and names the first place where the two part.
    """
    began = perf_counter()
    with Source(path) as source:
        report = check(source.records())
    took_s = perf_counter() - began
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print(report, took_s, checking=checking)
    if checking and report.divergences:
        sys.exit(1)


def _print(report: Report, took_s: float, *, checking: bool) -> None:
    pace = report.events / took_s if took_s else 0.0
    click.echo(
        f"{report.events:,} events in {took_s:.1f} s ({pace:,.0f}/s): {report.facts:,} facts, "
        f"{report.decisions:,} decisions, {report.dispatches:,} of them dispatches"
    )
    for first, last in report.gaps:
        click.echo(f"not recorded: seq {first} to {last}")
    if report.cut_off:
        click.echo(f"cut off by the end of a process, before it acted: {report.cut_off} facts")
    if report.skipped:
        click.echo(f"skipped, because no stored state precedes them: {report.skipped:,} events")
    if not checking:
        return
    click.echo(f"{report.snapshots} stored states compared, {len(report.divergences)} divergences")
    for divergence in report.divergences[:1]:
        click.echo(f"\nthe first is at seq {divergence.seq}, after {divergence.fact}")
        click.echo(f"  recorded: {divergence.recorded or '(nothing)'}")
        click.echo(f"  replayed: {divergence.replayed or '(nothing)'}")
