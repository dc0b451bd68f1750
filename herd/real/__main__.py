"""Run one real node: prints its address as JSON, ends at SIGTERM or when its input ends."""

import signal
import sys
from types import FrameType

import click
import msgspec

from herd.errors import HerdError
from herd.platform import die_with_parent, set_title
from herd.real.node import MODEL, serve


@click.command()
@click.option("--name", default="real", help="For the process title.")
@click.option("--port", default=0, help="0 takes any free one.")
@click.option("--slots", default=2, show_default=True, help="Requests served at once.")
@click.option("--threads", default=1, show_default=True, help="Of the engine.")
def main(name: str, port: int, slots: int, threads: int) -> None:
    """Serve SmolLM2-135M by llama.cpp's own server."""
    set_title(f"real node {name}")
    die_with_parent()
    signal.signal(signal.SIGTERM, _finish)
    try:
        server, url = serve(port, slots, threads)
    except HerdError as error:
        raise click.ClickException(f"{error.what}\n{error.next_step}") from error
    click.echo(msgspec.json.encode({"url": url, "name": name, "model": MODEL}))
    sys.stdout.flush()
    sys.stdin.read()
    del server


def _finish(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (a signal handler's)
    sys.exit(0)


if __name__ == "__main__":
    main()
