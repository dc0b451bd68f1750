"""`python -m herd.simulator`: one simulated node as a process.

It says where it listens as one JSON line on stdout, once it is ready. It ends on SIGTERM and
SIGINT; with `--supervised` also at the end of its stdin, so that it dies with whoever holds the
other end, and each line of stdin is a fault as `POST /sim/fault` takes it: that works while the
node refuses connections, too.
"""

import asyncio
import contextlib
import io
import signal
import sys
import threading
from types import FrameType
from typing import BinaryIO

import click
import msgspec

from herd import platform
from herd.simulator.faults import Fault
from herd.simulator.hardware import NodeSpec
from herd.simulator.node import SimulatedNode
from herd.simulator.profiles import PROFILES, with_slots


@click.command()
@click.option("--profile", type=click.Choice(list(PROFILES)), default="studio", show_default=True)
@click.option(
    "--spec",
    "file",
    type=click.File("rb"),
    help="A machine and its models as JSON (`NodeSpec` of herd.simulator.hardware), for a profile.",
)
@click.option("--name", default="", help="What it calls itself.  [default: the profile's name]")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0 takes any free port.", show_default=True)
@click.option(
    "--time-scale", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True
)
@click.option("--parallel", type=click.IntRange(min=1), help="OLLAMA_NUM_PARALLEL.")
@click.option("--max-queue", type=click.IntRange(min=0), help="OLLAMA_MAX_QUEUE.")
@click.option("--step-s", type=click.FloatRange(min=0), help="A fixed time a token; 0: at once.")
@click.option(
    "--answer-tokens",
    type=click.IntRange(min=1),
    help="The length of all answers that nobody bounds below it.",
)
@click.option("--v1-only", is_flag=True, help="Without Ollama's own routes, as llama.cpp's server.")
@click.option("--server-version", help="The version it says it has: from 0.14 on, more routes.")
@click.option("--seed", default=0, help="Other lengths of answers.", show_default=True)
@click.option("--supervised", is_flag=True, help="End with stdin, and take faults from it.")
@click.option("--json", "only_json", is_flag=True, help="Print the JSON line only.")
def main(  # noqa: PLR0913 (one for each option)
    *,
    profile: str,
    file: BinaryIO | None,
    name: str,
    host: str,
    port: int,
    time_scale: float,
    parallel: int | None,
    max_queue: int | None,
    step_s: float | None,
    answer_tokens: int | None,
    v1_only: bool,
    server_version: str | None,
    seed: int,
    supervised: bool,
    only_json: bool,
) -> None:
    """Run one simulated Ollama node."""
    spec = PROFILES[profile]() if file is None else _read(file)
    spec = with_slots(spec, parallel) if parallel else spec
    spec = msgspec.structs.replace(
        spec,
        name=name or spec.name,
        seed=seed,
        facts=msgspec.structs.replace(
            spec.facts,
            dialect="openai" if v1_only else spec.facts.dialect,
            version=server_version or spec.facts.version,
        ),
        max_queue=spec.max_queue if max_queue is None else max_queue,
        step_s=spec.step_s if step_s is None else step_s,
        answer_tokens=(answer_tokens, answer_tokens) if answer_tokens else spec.answer_tokens,
    )
    node = SimulatedNode(spec, time_scale=time_scale, host=host, port=port)
    platform.set_title(f"simulated node {spec.name}")
    try:
        platform.run_loop(_run(node, spec, supervised=supervised, only_json=only_json))
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port, or 0."
        ) from error


def _read(file: BinaryIO) -> NodeSpec:
    try:
        return msgspec.json.decode(file.read(), type=NodeSpec)
    except msgspec.MsgspecError as error:
        raise click.ClickException(f"{file.name} describes no machine: {error}") from error


async def _run(node: SimulatedNode, spec: NodeSpec, *, supervised: bool, only_json: bool) -> None:
    url = await node.start()
    stop = asyncio.Event()
    _stop_on_signals(stop)
    if supervised:
        _follow_stdin(node, stop)
    ready = {"url": url, "name": spec.name, "simulated": True}
    click.echo(msgspec.json.encode(ready))
    if not only_json:
        models = ", ".join(model.facts.name for model in spec.models)
        click.echo(f"{spec.name}: a simulated Ollama node with {models}; Ctrl-C ends it", err=True)
    try:
        await stop.wait()
    finally:
        await node.stop()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop_from_outside(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    for number in platform.stop_signals():
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # a loop without signals, as on Windows
            signal.signal(number, stop_from_outside)


def _follow_stdin(node: SimulatedNode, stop: asyncio.Event) -> None:
    """Read faults until whoever sends them is gone; a pipe is read by a thread on all systems.

    Without a buffer: a thread that holds a buffer's lock would break the interpreter's end.
    """
    loop = asyncio.get_running_loop()
    lines = io.FileIO(sys.stdin.fileno(), closefd=False)

    def follow() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before us
            for line in lines:
                with contextlib.suppress(msgspec.MsgspecError):
                    fault = msgspec.json.decode(line, type=Fault)
                    loop.call_soon_threadsafe(node.set_fault, fault)
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=follow, name="stdin", daemon=True).start()


if __name__ == "__main__":
    main()
