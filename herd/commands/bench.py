"""`herd bench`: measure the live fleet, and compare with before."""

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from herd import admin_token
from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.pull import confirm
from herd.commands.status import OK, PATIENCE_S, ask, balancer_url
from herd.errors import HerdError
from herd.http.client import FetchError, fetch
from herd.tables import printable

EXAMPLES = """\b
Examples:
  herd bench --duration 30
  herd bench --list
  herd bench --compare bench-1795447881-0f3a bench-1795451170-77c2
"""
API = "/dashboard/api/benchmarks"
LOOK_S = 0.5
IN_LOG_WITHIN_S = 6.0
"""How long after its end a run may take to be in the log's tables."""
HISTORY = 20

_FIGURES = {
    "requests_per_sec": "requests/s",
    "tokens_per_sec": "tokens/s",
    "ttft_p50_ms": "first byte p50, ms",
    "ttft_p95_ms": "first byte p95, ms",
    "ttft_p99_ms": "first byte p99, ms",
    "latency_p50_ms": "answer p50, ms",
    "latency_p95_ms": "answer p95, ms",
    "latency_p99_ms": "answer p99, ms",
}


class _Far(msgspec.Struct):
    status: str = "idle"
    phase: str = ""
    run_id: str = ""
    elapsed: float = 0.0
    duration: float = 0.0
    requests_completed: int = 0
    requests_failed: int = 0
    tok_per_sec: float = 0.0

    @property
    def runs(self) -> bool:
        return self.status in {"pulling", "warming_up", "running"}


class _Refused(msgspec.Struct):
    error: str = ""


@click.command(epilog=EXAMPLES)
@click.option(
    "--mode",
    type=click.Choice(["default", "smart"]),
    default="default",
    show_default=True,
    help="default: models in memory; smart: also those on disks that fit beside them.",
)
@click.option("--pull", is_flag=True, help="With smart: pull what is recommended; asks first.")
@click.option("--remove-pulled", is_flag=True, help="Delete what was pulled again at the end.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--duration", default=60.0, show_default=True, help="Seconds of requests.")
@click.option("--model", "models", multiple=True, help="This model; may be given several times.")
@click.option("--embed", is_flag=True, help="Embedding models too.")
@click.option("--list", "listed", is_flag=True, help="Show the runs of before, the newest first.")
@click.option("--compare", nargs=2, metavar="RUN RUN", help="Show two runs side by side.")
@click.option(
    "--cancel", is_flag=True, help="Stop the one that runs; what it has measured is kept."
)
@url_option
@data_dir_option
@json_option
def command(  # noqa: PLR0913 (one parameter an option)
    mode: str,
    duration: float,
    models: tuple[str, ...],
    *,
    compare: tuple[str, str] | None,
    url: str | None,
    data_dir: str | None,
    embed: bool,
    pull: bool,
    remove_pulled: bool,
    yes: bool,
    listed: bool,
    cancel: bool,
    as_json: bool,
) -> None:
    """Measure the live fleet with real requests; they wait in the same lines as everybody's.

    Ctrl-C cancels the run. Every run is kept in the log. For a balancer on another machine,
    FLEET_ADMIN_TOKEN holds its admin token.
    """
    address = url.rstrip("/") if url else balancer_url(data_dir)
    if listed:
        _show_list(_got(address, f"?limit={HISTORY}"), as_json=as_json)
    elif compare:
        _show_compared(_got(address, f"/compare?before={compare[0]}&after={compare[1]}"), as_json)
    elif cancel:
        said = _post(address, "/cancel", {})
        click.echo(msgspec.json.encode(said).decode() if as_json else said["status"])
    else:
        types = ["llm", "embed"] if embed else ["llm"]
        body: dict[str, object] = {
            "mode": mode,
            "duration": duration,
            "model_types": types,
            "models": models,
        }
        if pull:
            if mode != "smart":
                raise click.UsageError("--pull is of --mode smart")
            body |= {"pulls": _agreed(address, types, yes=yes), "remove_pulled": remove_pulled}
        run_id = str(_post(address, "/start", body)["run_id"])
        _follow(address, run_id, shown=not as_json)
        run = _measured(address, run_id)
        if run["outcome"] == "failed":
            raise HerdError(f"{run_id}: {run['error']}")
        _show_run(run, as_json=as_json)


def _agreed(address: str, types: list[str], *, yes: bool) -> list[dict[str, str]]:
    """Return the pulls that are proposed, if somebody says yes; none if there are none."""
    only = f"?model_type={types[0]}" if len(types) == 1 else ""
    pulls: list[dict[str, Any]] = _got(address, f"/proposal{only}")["pulls"]
    if not pulls:
        click.echo("nothing to pull: what is recommended is there", err=True)
        return []
    for each in pulls:
        told = f"{each['model']} onto {each['node_id']}, {each['size_gb']:g} GB: {each['reason']}"
        click.echo(printable(told), err=True)
    confirm("Pull that, and measure", yes=yes)
    return [{"model": each["model"], "node_id": each["node_id"]} for each in pulls]


def _follow(address: str, run_id: str, *, shown: bool) -> None:
    """Show how far it is until it ends."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        console=Console(stderr=True),
        disable=not (shown and sys.stderr.isatty()),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None, told="")
        try:
            while (far := _far(address)).runs and far.run_id == run_id:
                told = f"{far.requests_completed} done, {far.requests_failed} failed"
                pace = f"{told}, {far.tok_per_sec:.0f} tokens/s" if far.elapsed else ""
                bar.update(
                    task,
                    description=far.phase,
                    total=far.duration if far.elapsed else None,
                    completed=min(far.elapsed, far.duration),
                    told=pace,
                )
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            _post(address, "/cancel", {})


def _far(address: str) -> _Far:
    return msgspec.json.decode(ask(address, f"{API}/progress"), type=_Far)


def _measured(address: str, run_id: str) -> dict[str, Any]:
    """Return what the log has of a run that has ended."""
    until_s = time.monotonic() + IN_LOG_WITHIN_S
    while True:
        found: dict[str, Any] | None = _got(address, f"/{run_id}")["data"]
        if found is not None:
            return found
        if time.monotonic() > until_s:
            raise HerdError(
                f"{run_id} is not in the log yet", "`herd bench --list` shows it in a moment"
            )
        time.sleep(LOOK_S)


def _got(address: str, path: str) -> dict[str, Any]:
    """Return a page; a refusal is told in the balancer's words."""
    try:
        url, headers = f"{address}{API}{path}", admin_token.headers()
        answer = asyncio.run(fetch("GET", url, headers=headers, timeout_s=PATIENCE_S))
    except FetchError as error:
        raise _away(address, error) from error
    return _answered(answer.status, answer.body, path)


def _post(address: str, path: str, body: dict[str, object]) -> dict[str, Any]:
    headers = [(b"Content-Type", b"application/json"), *admin_token.headers()]
    url = f"{address}{API}{path}"
    data = msgspec.json.encode(body)
    try:
        answer = asyncio.run(fetch("POST", url, headers=headers, body=data, timeout_s=PATIENCE_S))
    except FetchError as error:
        raise _away(address, error) from error
    return _answered(answer.status, answer.body, path)


def _answered(status: int, body: bytes, path: str) -> dict[str, Any]:
    try:
        if status == OK:
            found: dict[str, Any] = msgspec.json.decode(body)
            return found
        said = msgspec.json.decode(body, type=_Refused).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = ""
    raise HerdError(said or f"{API}{path} answered {status}: is it herd, and new enough?")


def _away(address: str, error: FetchError) -> HerdError:
    return HerdError(
        f"no balancer answers at {address}: {error.text}", "start it with `herd`, or give --url"
    )


def _show_run(run: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(run).decode())
        return
    failed = f", {run['total_failures']} failed" if run["total_failures"] else ""
    click.echo(
        f"{run['run_id']} ({run['mode']}, {run['outcome']}): "
        f"{run['total_requests']} requests in {run['duration_s']:g} s{failed}"
    )
    _table([[label, _number(run[key])] for key, label in _FIGURES.items()])
    rows = run["per_model_results"]
    _table(
        [
            ["MODEL", "REQUESTS", "TOKENS/S", "FIRST BYTE MS", "ANSWER MS"],
            *(
                [
                    row["model"],
                    str(row["requests"]),
                    *(_number(row[key]) for key in ("tok_s", "avg_ttft_ms", "avg_latency_ms")),
                ]
                for row in rows
            ),
        ]
    )
    _table(
        [
            ["NODE", "REQUESTS", "SHARE", "TOKENS/S"],
            *(
                [row["node_id"], str(row["requests"]), f"{row['pct']:g} %", _number(row["tok_s"])]
                for row in run["per_node_results"]
            ),
        ]
    )


def _show_list(page: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(page).decode())
        return
    if not page["data"]:
        click.echo("no benchmark yet: `herd bench` makes the first")
        return
    keys = ("requests_per_sec", "tokens_per_sec", "ttft_p50_ms", "latency_p95_ms")
    _table(
        [
            ["RUN", "WHEN", "MODE", "OUTCOME", *(_FIGURES[key].upper() for key in keys)],
            *(
                [run["run_id"], _when(run["timestamp"]), run["mode"], run["outcome"]]
                + [_number(run[key]) for key in keys]
                for run in page["data"]
            ),
        ]
    )


def _show_compared(found: dict[str, Any], as_json: bool) -> None:  # noqa: FBT001 (its only one)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for said in found["unlike"]:
        click.echo(f"compare with care: {said}")
    _table(
        [
            [
                "FIGURE",
                _when(found["before"]["timestamp"]),
                _when(found["after"]["timestamp"]),
                "CHANGE",
                "",
            ],
            *(
                [
                    _FIGURES[row["figure"]],
                    _number(row["before"]),
                    _number(row["after"]),
                    "-" if row["change_pct"] is None else f"{row['change_pct']:+g} %",
                    row["verdict"],
                ]
                for row in found["figures"]
            ),
        ]
    )


def _table(rows: list[list[str]]) -> None:
    cells_of = [["".join(c if c.isprintable() else "?" for c in cell) for cell in r] for r in rows]
    widths = [max(map(len, column)) for column in zip(*cells_of, strict=True)]
    click.echo()
    for row in cells_of:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _when(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).astimezone().strftime("%m-%d %H:%M:%S")
