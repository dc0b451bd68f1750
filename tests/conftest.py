"""What every test can count on.

`HERD_NO_SKIP=1` (CI) turns each skip into a failure. No actor outlives its test. Nobody's own data
directory is touched. What a failed test leaves behind may hang its end: that ends the process.
Hypothesis has no deadline, because machines are busy, and draws the same examples each time in CI.
Whoever asks for `no_blocking` fails when code on the event loop blocks; `on_each_loop` runs a
coroutine on the stdlib loop and on uvloop.
"""

import asyncio
import faulthandler
import os
import signal
from collections.abc import Callable, Coroutine, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import pykka
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

from herd.paths import DEFAULT_ROOT

T = TypeVar("T")

LoopName: TypeAlias = Literal["asyncio", "uvloop"]
Run: TypeAlias = Callable[[Coroutine[Any, Any, T]], T]

HERE: tuple[LoopName, ...] = ("asyncio", "uvloop") if find_spec("uvloop") else ("asyncio",)
TEARDOWN_S = 240
OWN_DATA = Path(DEFAULT_ROOT).expanduser()
NO_SKIP = os.environ.get("HERD_NO_SKIP") == "1"

settings.register_profile("herd", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=5_000)
settings.load_profile("herd")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's `&`: children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let no test be skipped where nothing may be missing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _forbid(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let no module be skipped where nothing may be missing."""
    report = yield
    if report.skipped:
        _forbid(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None]:
    """End a process that hangs here: pytest-timeout watches a test until it fails, not longer."""
    faulthandler.dump_traceback_later(TEARDOWN_S, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _forbid(report: pytest.TestReport | pytest.CollectReport) -> None:
    if NO_SKIP:
        report.outcome = "failed"
        report.longrepr = f"skipped, and HERD_NO_SKIP=1 allows no skip: {report.longrepr}"


@pytest.fixture(autouse=True)
def _home_is_left_alone() -> Iterator[None]:
    there = OWN_DATA.exists()
    yield
    assert there or not OWN_DATA.exists(), f"the test made {OWN_DATA}"


@pytest.fixture(autouse=True)
def _no_actor_is_left() -> Iterator[None]:
    before = {ref.actor_urn for ref in pykka.ActorRegistry.get_all()}
    yield
    left = [ref for ref in pykka.ActorRegistry.get_all() if ref.actor_urn not in before]
    for ref in left:
        ref.stop(block=False)
        pykka.ActorRegistry.unregister(ref)
    assert not left, f"the test left actors running: {left}"


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Fail when herd's or the actors' code blocks a running event loop."""
    with blockbuster_ctx(["herd", "actors"]) as buster:
        yield buster


@pytest.fixture(params=HERE)
def on_each_loop(request: pytest.FixtureRequest) -> Iterator[Run[Any]]:
    """Run coroutines to their end on each kind of event loop, one test each."""
    with runner(request.param) as here:
        yield here.run


def runner(name: LoopName) -> asyncio.Runner:
    """Return a runner on that kind of event loop."""
    if name == "asyncio":
        return asyncio.Runner()
    import uvloop

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
