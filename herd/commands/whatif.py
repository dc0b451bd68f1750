"""`herd whatif`: the recorded requests once more, under another policy or on another fleet."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from events import Recorded
from herd.config import PolicyName
from herd.errors import HerdError
from herd.moments import parse, shown
from herd.progress import watched
from herd.replay.source import Source
from herd.tables import printable, show
from herd.whatif.change import change
from herd.whatif.compare import Answer, answer
from herd.whatif.evidence import Evidence, gather
from herd.whatif.figures import POINTS, TIMES, figure
from herd.whatif.support import LABELS, alike

EXAMPLES = """\b
Examples:
  herd whatif                               how well does the model know my fleet?
  herd whatif --policy round-robin          what is the policy worth?
  herd whatif --without mini                do I need that machine?
  herd whatif --add-node second=studio      what would one more of these do?
  herd whatif --slots studio=8 --from 2h    the last two hours, with more at once
  herd whatif incident.herd --set max_retries=0 --json
"""
GUESSED = "~"
LOOKS = 200
"""At the progress bar, while something is played."""
_COUNTS = ("completed", "failed", "rejected", "cancelled", "cold_loads")
_LEAST_S = 0.005
_SHORT_S, _LONG_S = 1.0, 100.0
_POLICIES = ", ".join(get_args(PolicyName))


@click.command("whatif", epilog=EXAMPLES)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--policy", metavar="NAME", help=f"Another placement policy: {_POLICIES}.")
@click.option("--without", multiple=True, metavar="NODE", help="Leave a node out.")
@click.option(
    "--add-node",
    multiple=True,
    metavar="NAME=LIKE",
    help="One more node, like a recorded one, or like the simulator's studio, tower, mini.",
)
@click.option("--slots", multiple=True, metavar="NODE=N", help="Let a node serve N at once.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Another setting.")
@click.option("--from", "begin", metavar="TIME", help="Leave out what was before: 14:05, or 2h.")
@click.option("--until", metavar="TIME", help="Leave out what was after.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw distributions and time line into this file (.png, .svg, .pdf).",
)
def command(  # noqa: PLR0913 (one parameter an option)
    path: Path | None,
    *,
    data_dir: str | None,
    policy: str | None,
    without: tuple[str, ...],
    add_node: tuple[str, ...],
    slots: tuple[str, ...],
    settings: tuple[str, ...],
    begin: str | None,
    until: str | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Play the recorded requests again, and see what would have been different.

    PATH is a data directory, or an incident file. The nodes' speeds, loading times and slots are
    learned from the log; then the same requests come at the same times, to the same balancer, in
    virtual time: once as it was, once as you ask. The first shows how far the model can be
    trusted. Nothing is sent to any node.

    All options can be put together, and --without, --add-node, --slots, --set repeated. What lies
    outside what the log supports is said below the figures.
    """
    if path is not None and data_dir is not None:
        raise click.UsageError("name a PATH or a --data-dir, not both")
    draw = None
    if plot is not None:
        from herd.whatif.plot import drawing

        draw = drawing(plot)
    try:
        with Source(path if data_dir is None else data_dir) as source:
            evidence = _evidence(source, begin, until)
    except msgspec.ValidationError as error:
        raise HerdError(
            f"the log holds a state that this version of herd does not read: {error}",
            "ask the version that wrote it",
        ) from error
    wanted = change(
        evidence.nodes,
        settings=[*settings, *([] if policy is None else [f"policy={policy}"])],
        without=without,
        slots=slots,
        added=add_node,
    )
    told, outcomes = answer(evidence, wanted, _watched)
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        _print(told)
    if draw is not None and plot is not None:
        draw(told, outcomes)
        click.echo(f"\ndrawn: {plot}", err=True)


def _evidence(source: Source, begin: str | None, until: str | None) -> Evidence:
    if not source.first_head:
        raise HerdError(
            "the log holds no stored state, so nothing of it can be played again",
            "start the balancer with `herd run`: each start stores one",
        )
    first, last = source.first_head, source.last_seq
    [(end_us,)] = source.ask("SELECT epoch_us(max(recorded_at)) FROM events")
    if begin is not None:
        first = max(first, source.seq_at(parse(begin, end_us) - 1))
    if until is not None:
        last = source.seq_at(parse(until, end_us))
    if last <= first:
        raise HerdError(
            "nothing was recorded in that time",
            f"the log goes on until {shown(end_us)}",
        )
    fold = partial(watched, what="reading")
    state = source.state_at(first, fold)
    records: Iterable[Recorded] = fold(source.records(first + 1, last), last - first)
    return gather(state, records)


def _watched(items: Iterable[Any], total: int, what: str) -> Iterator[Any]:
    return watched(items, total, what, every=max(1, total // LOOKS))


# The screen


def _print(told: Answer) -> None:
    minutes = (told.end_us - told.start_us) / 60e6
    _say(
        f"{told.recorded.requests:,} requests in {minutes:,.0f} min from {shown(told.start_us)}, "
        f"nodes {', '.join(told.nodes)}"
    )
    if told.change:
        _say(f"What if: {'; '.join(told.change)}", bold=True)
    if told.plays > 1:
        _say(f"Times are medians of {told.plays} plays; counts as well.")
    click.echo()
    head = ["", "", ">RECORDED", ">RE-RUN", *([">WHAT IF", ">CHANGE"] if told.whatif else [])]
    show(head, [*_times(told), *_numbers(told)])
    click.echo()
    _say(
        "RE-RUN is the same herd, played on machines as learned from this log: where it differs "
        "from RECORDED, the model errs."
    )
    if told.whatif:
        _say("CHANGE is from RE-RUN to WHAT IF.")
    click.echo()
    _say(f"Speeds of one request alone, and how many went where ({GUESSED} is a guess):")
    head = ["NODE", "MODEL", ">TOKENS/S", ">PROMPT/S", ">LOAD", ">SLOTS", ">RECORDED", ">RE-RUN"]
    show([*head, *([">WHAT IF"] if told.whatif else [])], _worked(told))
    if told.doubts:
        click.echo()
        _say("Outside what the log supports:", bold=True)
        for doubt in told.doubts:
            _say(f"- {doubt}")


def _times(told: Answer) -> Iterator[list[str]]:
    for time in TIMES:
        for point in POINTS:
            was, again = figure(told.recorded, time, point), figure(told.rerun, time, point)
            row = [LABELS[time] if point == POINTS[0] else "", point, _s(was), _s(again)]
            if told.whatif is not None:
                other = figure(told.whatif, time, point)
                changed = _change(again, other)
                others = time != "wait" and not alike(told.rerun, told.whatif)
                row += [_s(other), f"({changed})" if others else changed]
            yield row


def _numbers(told: Answer) -> Iterator[list[str]]:
    for name in _COUNTS:
        was, again = getattr(told.recorded, name), getattr(told.rerun, name)
        row = [name.replace("_", " "), "", f"{was:,}", f"{again:,}"]
        if told.whatif is not None:
            other = getattr(told.whatif, name)
            row += [f"{other:,}", f"{other - again:+,}" if other != again else "="]
        yield row


def _worked(told: Answer) -> list[list[str]]:
    rows: list[list[str]] = []
    for work in told.work:
        mark = "" if work.observed else GUESSED
        row = [work.node_id, work.model.removesuffix(":latest")]
        row += [f"{mark}{work.tokens_per_s:,.0f}", f"{mark}{work.prompt_tokens_per_s:,.0f}"]
        row += [f"{work.load_s:.1f} s", str(work.slots)]
        row += [f"{work.recorded:,}", f"{work.rerun:,}"]
        rows.append(row if work.whatif is None else [*row, f"{work.whatif:,}"])
    return rows


def _s(seconds: float) -> str:
    digits = 3 if seconds < _SHORT_S else 2 if seconds < _LONG_S else 0
    return f"{seconds:,.{digits}f} s"


def _change(again: float, other: float) -> str:
    if abs(other - again) < _LEAST_S:
        return "="
    return f"{other / again - 1:+.0%}" if again >= _LEAST_S else f"{other - again:+.2f} s"


def _say(text: str, *, bold: bool = False) -> None:
    click.secho(printable(text), bold=bold)
