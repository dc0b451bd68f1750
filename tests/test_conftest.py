"""The promises of conftest.py: each is shown to bite."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockingError

import herd

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).with_name("conftest.py")


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST.read_text())
    return pytester


SKIPS = """
import pytest

def test_skipped():
    pytest.skip("no engine here")

@pytest.mark.xfail(strict=True)
def test_expected_to_fail():
    raise AssertionError
"""


def test_a_skip_is_a_skip(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HERD_NO_SKIP", raising=False)
    inner.makepyfile(SKIPS)

    inner.runpytest_subprocess().assert_outcomes(skipped=1, xfailed=1)


def test_a_skip_is_a_failure_in_ci(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERD_NO_SKIP", "1")
    inner.makepyfile(SKIPS)

    result = inner.runpytest_subprocess()

    result.assert_outcomes(failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*HERD_NO_SKIP*no engine here*"])


def test_a_skipped_module_is_a_failure_in_ci(
    inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERD_NO_SKIP", "1")
    inner.makepyfile("import pytest\npytest.importorskip('no_such_engine')")

    inner.runpytest_subprocess().assert_outcomes(errors=1)


def test_an_actor_that_is_left_fails_its_test(inner: pytest.Pytester) -> None:
    inner.makepyfile("""
import pykka

class Left(pykka.ThreadingActor):
    pass

def test_that_leaves_one():
    Left.start()

def test_that_leaves_none():
    Left.start().stop()
""")

    inner.runpytest_subprocess().assert_outcomes(passed=2, errors=1)


def test_both_loops_run(on_each_loop: Any) -> None:
    async def which() -> str:
        return type(asyncio.get_running_loop()).__module__

    coroutine: Coroutine[Any, Any, str] = which()
    assert on_each_loop(coroutine).partition(".")[0] in {"asyncio", "uvloop"}


@pytest.mark.usefixtures("no_blocking")
def test_blocking_on_the_loop_is_seen() -> None:
    blocks = compile("time.sleep(0.001)", str(Path(herd.__file__).with_name("blocks.py")), "exec")

    async def block() -> None:
        exec(blocks, {"time": time})  # noqa: S102 (code that seems to stand in herd)

    with pytest.raises(BlockingError):
        asyncio.run(block())
