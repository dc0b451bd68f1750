"""`herd explain`: why a request went where it went, and what would have sent it elsewhere."""

from pathlib import Path

import click
import msgspec

from herd.errors import HerdError
from herd.progress import watched
from herd.replay.explain import Decided, Explanation, Wait, explain
from herd.replay.source import Source
from herd.tables import printable, show

_CANDIDATES = ("CANDIDATE", "IN MEMORY", ">IN FLIGHT", ">WAIT", ">SCORE")


@click.command()
@click.argument("request_id")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
def command(request_id: str, path: Path | None, data_dir: str | None, *, as_json: bool) -> None:
    """Show why REQUEST_ID (its first letters suffice) went to the nodes that served it.

    PATH is a data directory, or an incident file. The log is folded to each decision about the
    request, and the decision made again: every candidate with its terms, every other node with
    what stood in its way, and the smallest change that would have sent the request elsewhere.
    That is said only after a replay with this change came out so.

    Answers carry their id in X-Herd-Request-Id.
    """
    if path is not None and data_dir is not None:
        raise click.UsageError("name a PATH or a --data-dir, not both")
    try:
        with Source(path if data_dir is None else data_dir) as source:
            told = explain(
                source, request_id, lambda records, total: watched(records, total, "replay")
            )
    except msgspec.ValidationError as error:
        raise HerdError(
            f"the log holds a state that this version of herd does not read: {error}",
            "explain it with the version that wrote it",
        ) from error
    if as_json:
        click.echo(msgspec.json.encode(told))
    else:
        _print(told)


def _print(told: Explanation) -> None:
    _say(f"request {told.request_id}  {told.model}", bold=True)
    click.echo()
    rows = [(f"{step.at_s:.3f} s", f"seq {step.seq}", step.text) for step in told.steps]
    show((">TIME", ">EVENT", "WHAT"), rows)
    for wait in told.waits:
        _print_wait(wait)
    if told.rejected:
        click.echo()
        _say(f"Rejected: {told.rejected}.")
    for decided in told.decisions:
        _print_decision(decided)
    if not told.ended and (not told.waits or told.waits[-1].to_s is not None):
        click.echo()
        _say("It has not ended: it runs where it was sent last.")


def _print_wait(wait: Wait) -> None:
    click.echo()
    if wait.to_s is None:
        _say(f"It waits since {wait.from_s:.3f} s: {wait.why or 'the reason is not known'}.")
        return
    why = f", because {wait.why}" if wait.why else ""
    until = f" It went on when {wait.opened}." if wait.opened else ""
    _say(f"It waited {wait.to_s - wait.from_s:.3f} s{why}.{until}")


def _print_decision(decided: Decided) -> None:
    click.echo()
    _say(
        f"{decided.at_s:.3f} s, attempt {decided.attempt}: {decided.node_id} by {decided.policy}",
        bold=True,
    )
    rows = [
        (
            each["node_id"],
            "yes" if each["resident"] else "no",
            f"{each['in_flight']} of {each['slots']}",
            f"{each['wait_s']:.2f} s",
            f"{each['score']:.1f}",
        )
        for each in decided.candidates
    ]
    show(_CANDIDATES, rows, indent=2)
    if decided.not_listed:
        _say(f"  and {decided.not_listed} more, whose terms were not recorded")
    if decided.others:
        click.echo()
        other_rows = [(each.node_id, "; ".join(each.obstacles.values())) for each in decided.others]
        show(("NO CANDIDATE", "BECAUSE"), other_rows, indent=2)
    click.echo()
    _say(f"  {_sentence(decided)}")
    if not decided.known:
        _say("  The log holds no stored state from before it: what might have been is not told.")
    elif not decided.exact:
        now = decided.now or "nobody"
        _say(
            f"  This version of herd does not decide as it was recorded (it would choose {now}): "
            "what might have been is not told."
        )


def _sentence(decided: Decided) -> str:
    """Return why the winner won and what would have changed it, as one sentence."""
    parts = [decided.why.removesuffix("."), *(each.text for each in decided.contrasts)]
    return "; ".join(parts) + "."


def _say(text: str, *, bold: bool = False) -> None:
    click.secho(printable(text), bold=bold)
