"""The pure core and the journal: what one decision costs, and how fast a log is folded.

One thread, no loop, no network: best of the rounds, because anything slower was disturbed.
"""

import argparse
import gc
import random
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import perf_counter

import msgspec

from actors.core.commands import Send
from actors.core.state import State, dump
from actors.core.step import step
from actors.run_queue import Deliver, fold, fold_envelope, run
from actors.stage import Stage
from benchmarks.machine import Json, begin, publish, table
from events import (
    ControlStarted,
    Event,
    FrontConnected,
    ModelFacts,
    NodeConfigured,
    NodeFacts,
    NodeId,
    NodeProbed,
    Recorded,
    RecoveryEnded,
    RequestCompleted,
    RequestId,
    RequestReceived,
    ResidentModel,
    Source,
    decode,
    encode,
)
from herd.control.restore import head_of_segment
from herd.journal.segments import Journal
from herd.link.messages import Fact, Grant
from herd.replay.check import check

FRONT = Source("f1-aaaaaa")
MODEL = "llama3.2:3b"
START_US = 1_760_000_000_000_000


class Core:
    """A core with some nodes that all have the model, and the log it makes."""

    def __init__(self, nodes: int, slots: int, deliver: Callable[[State], Deliver]) -> None:
        """Start it, empty."""
        self.state = State()
        self.now_us = START_US
        self.log = [head_of_segment(self.state, self.now_us)]
        fold_envelope(self.state, self.log[0])
        self._deliver = deliver(self.state)
        self._n = 0
        self.put(ControlStarted(epoch=1, version="bench"))
        for name in (NodeId(f"node{i}") for i in range(nodes)):
            self.put(NodeConfigured(node_id=name, url=f"http://{name}:11434", slots=slots))
            self.put(
                NodeProbed(
                    node_id=name,
                    reachable=True,
                    facts=NodeFacts(version="0.12.0"),
                    resident=(ResidentModel(name=MODEL, size_bytes=2 << 30),),
                    models=(ModelFacts(name=MODEL, size_bytes=2 << 30),),
                )
            )
        self.put(FrontConnected(front=1), FRONT)
        self.put(RecoveryEnded(fronts=1))

    def put(self, event: Event, src: Source | None = None) -> list[Send]:
        """Run one fact to completion; keep the records."""
        self.now_us += 37
        if src is None:
            outcome = run(self.state, self._deliver, event, self.now_us)
        else:
            self._n += 1
            outcome = run(self.state, self._deliver, event, self.now_us, (src, self._n))
        self.log += outcome.records
        return outcome.sends


def received(number: int) -> RequestReceived:
    """Return an admission."""
    return RequestReceived(
        request_id=RequestId(f"0192f0c1-0000-7000-8000-{number:012x}"),
        model=MODEL,
        stream=False,
        body_bytes=320,
        client="127.0.0.1",
        app="wrk",
    )


def completed(grant: Grant) -> RequestCompleted:
    """Return the end of a granted request."""
    return RequestCompleted(
        request_id=grant.request_id,
        model=MODEL,
        node_id=grant.node_id,
        lease=grant.lease,
        ttft_s=0.2,
        service_s=1.5,
        prompt_tokens=12,
        completion_tokens=30,
    )


def serve(core: Core, requests: int, at_once: int, seed: int = 1) -> None:
    """Let so many requests come and go, `at_once` of them waiting or running at any time."""
    chance = random.Random(seed)  # noqa: S311 (an order of ends, no secret)
    granted: list[Grant] = []
    came = ended = 0
    while ended < requests:
        if came < requests and came - ended < at_once:
            sends = core.put(received(came), FRONT)
            came += 1
        else:
            grant = granted.pop(chance.randrange(len(granted)))
            sends = core.put(completed(grant), FRONT)
            ended += 1
        granted += [send.message for send in sends if isinstance(send.message, Grant)]


def pure(state: State) -> Deliver:
    """Deliver as replay does."""
    return partial(step, state)


def staged(state: State) -> Deliver:
    """Deliver as control does, through the actors."""
    return Stage(state, _nobody).deliver


def _nobody() -> None:
    """Wake nobody: no thread asks."""


def best_s(rounds: int, once: Callable[[], float]) -> float:
    """Return the shortest of the rounds, without collections of garbage in between."""
    times: list[float] = []
    for _ in range(rounds):
        gc.collect()
        gc.freeze()
        times.append(once())
    return min(times)


def _request_s(
    nodes: int, at_once: int, deliver: Callable[[State], Deliver], requests: int
) -> float:
    core = Core(nodes, 1024 if at_once == 1 else max(1, at_once // nodes // 2), deliver)
    serve(core, 500, at_once)
    began = perf_counter()
    serve(core, requests, at_once)
    return (perf_counter() - began) / requests


def _each_s(work: Callable[[], object], count: int) -> float:
    began = perf_counter()
    work()
    return (perf_counter() - began) / count


def _drain(values: Iterable[object]) -> None:
    deque(values, maxlen=0)


def _folded(log: list[Recorded]) -> State:
    state = State()
    fold_envelope(state, log[0])
    for record in log[1:]:
        fold(state, record)
    return state


def _append_s(log: list[Recorded], size: int) -> float:
    with tempfile.TemporaryDirectory() as name:
        journal = Journal.open(Path(name) / "journal", Path(name) / "snapshots")
        journal.rotate(log[0])
        batches = [log[i : i + size] for i in range(1, len(log), size)]
        began = perf_counter()
        for batch in batches:
            journal.append(batch)
        seconds = perf_counter() - began
        journal.close()
    return seconds / (len(log) - 1)


def measure(rounds: int, requests: int, *, keep: bool) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {"machine": begin("core")}
    costs: dict[str, float] = {}
    for name, nodes, at_once, deliver in (
        ("run(), undisturbed, 2 nodes", 2, 1, pure),
        ("run(), undisturbed, 2 nodes, through the actors", 2, 1, staged),
        ("run(), undisturbed, 16 nodes", 16, 1, pure),
        ("run(), half of 64 wait, 2 nodes", 2, 64, pure),
        ("run(), half of 1,000 wait, 2 nodes", 2, 1000, pure),
    ):
        costs[f"{name}: us a request"] = 1e6 * best_s(
            rounds, partial(_request_s, nodes, at_once, deliver, requests)
        )
    core = Core(2, 16, pure)
    serve(core, requests * 2, 64)
    log = core.log
    lines = [encode(record) for record in log]
    assert dump(_folded(log)) == dump(core.state)
    report = check(log)
    assert not report.divergences, report.divergences[:1]
    fact = Fact(1, received(1))
    packed = msgspec.msgpack.encode(fact)
    packer, unpacker = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Fact)
    parts: dict[str, Callable[[], float]] = {
        "encode: us an event": lambda: _each_s(lambda: _drain(map(encode, log)), len(log)),
        "decode: us an event": lambda: _each_s(lambda: _drain(map(decode, lines)), len(log)),
        "fold (a restart): us an event": lambda: _each_s(lambda: _folded(log), len(log)),
        "check() (a replay): us an event": lambda: _each_s(lambda: check(log), len(log)),
        "decode and check(): us an event": lambda: _each_s(
            lambda: check(map(decode, lines)), len(log)
        ),
        "journal, 1 an append: us an event": lambda: _append_s(log, 1),
        "journal, 64 an append: us an event": lambda: _append_s(log, 64),
        "link, encode a fact: us": lambda: _each_s(
            lambda: _drain(packer.encode(fact) for _ in range(20_000)), 20_000
        ),
        "link, decode a fact: us": lambda: _each_s(
            lambda: _drain(unpacker.decode(packed) for _ in range(20_000)), 20_000
        ),
    }
    for name, once in parts.items():
        costs[name] = 1e6 * best_s(rounds, once)
    rows = [[name, us, 1e6 / us] for name, us in costs.items()]
    print(table(f"The core, {len(log):,} events in the log", ("", "us", "a second"), rows))
    result |= {"us": costs, "events": len(log), "bytes": sum(map(len, lines))}
    publish("core", result, keep=keep)


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing kept")
    told = parser.parse_args(arguments)
    if told.quick:
        measure(1, 1_000, keep=False)
    else:
        measure(told.rounds, told.requests, keep=True)


if __name__ == "__main__":
    main()
