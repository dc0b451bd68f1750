"""`herd otel`: the log as OpenTelemetry traces, sent to a collector as it grows."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import click

from events import Recorded, decode
from herd.analysis import open_log
from herd.clock import wall_s
from herd.errors import HerdError
from herd.journal.reader import lines, position_of
from herd.journal.tail import Tail
from herd.logd.readers import ask
from herd.moments import parse
from herd.paths import DataDir, default_data_dir
from herd.providers import TELLING, Providers
from herd.tracing.spans import Spans

POLL_S = 0.25
END = 1 << 62
BATCH = 10_000


@click.command("otel")
@click.option(
    "--endpoint",
    metavar="URL",
    help="The collector, as http://localhost:4318; else what OTEL_EXPORTER_OTLP_ENDPOINT says.",
)
@click.option("--since", metavar="TIME", help="From there on: 14:30, 2025-10-09T14:30, or 10m ago.")
@click.option(
    "--no-follow",
    is_flag=True,
    help="End with the log as it is now, or if nobody takes it.",
)
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
def command(
    endpoint: str | None, since: str | None, data_dir: str | None, *, no_follow: bool
) -> None:
    """Send every request as a trace to an OpenTelemetry collector, by OTLP over HTTP.

    One tree of spans a request: the request, its waits, its attempts at nodes. A client's
    `traceparent` is kept, and passed on to the node. It reads the log and nothing else, so it may
    begin and end at any time; --since sends what was before it, and the same request has the same
    ids each time. Headers, certificates and time-outs are as OTEL_EXPORTER_OTLP_* say.
    """
    try:
        from herd.tracing.export import Collector
    except ImportError as error:
        raise HerdError(
            f"OpenTelemetry is not installed ({error.name})",
            'install herd with it: uv tool install "herd-balancer[otel]"',
        ) from error
    directory = default_data_dir() if data_dir is None else DataDir(Path(data_dir))
    collector = Collector(endpoint, lambda text: click.echo(text, err=True), gives_up=no_follow)
    spans, requests, sent = Spans(providers_of(directory.journal)), 0, 0
    with contextlib.suppress(KeyboardInterrupt):
        for batch in _batches(directory, since, follow=not no_follow):
            trees = [tree for record in batch if (tree := spans.add(record))]
            if trees:
                collector.send([span for tree in trees for span in tree])
                requests += len(trees)
                sent += sum(map(len, trees))
    click.echo(f"{requests:,} requests sent, in {sent:,} spans")


def providers_of(journal: Path) -> Providers:
    """Return who answers at the nodes now: the newest segment tells of all."""
    known = Providers()
    marks = [f'"k":"{kind}"'.encode() for kind in TELLING]
    for line in lines(journal, position_of(journal, END).first_seq):
        if any(mark in line for mark in marks):
            known.hear(decode(line).event)
    return known


def _batches(directory: DataDir, since: str | None, *, follow: bool) -> Iterator[list[Recorded]]:
    """Yield the log from a time on, or from now, as it grows."""
    tail = Tail(directory.journal, position_of(directory.journal, END))
    seq = 0
    if since is not None or not follow:
        for stored in _stored(directory, since):
            seq = stored[-1].seq
            yield stored
    while follow:
        chunk = tail.read()
        if chunk is None:
            time.sleep(POLL_S)
            continue
        new = [each for each in map(decode, chunk.data.splitlines()) if each.seq > seq]
        if new:
            seq = new[-1].seq
            yield new


def _stored(directory: DataDir, since: str | None) -> Iterator[list[Recorded]]:
    since_us = parse(since, round(wall_s() * 1e6)) if since else 0
    with open_log(directory.root) as log:
        result = ask(
            log,
            "SELECT payload::VARCHAR FROM events WHERE recorded_at >= make_timestamp($since_us)"
            " ORDER BY seq",
            {"since_us": since_us},
        )
        while rows := result.fetchmany(BATCH):
            yield [decode(line.encode()) for (line,) in rows]
