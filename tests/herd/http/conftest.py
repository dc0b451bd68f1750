import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

Main: TypeAlias = Coroutine[Any, Any, None]
Run: TypeAlias = Callable[[Main], None]


@pytest.fixture
def run(on_each_loop: Callable[[Main], object]) -> Run:
    """Run a test's coroutine on each loop, for a minute at most."""

    async def bounded(main: Main) -> None:
        async with asyncio.timeout(60):
            await main

    return lambda main: void(on_each_loop(bounded(main)))


def void(_: object) -> None:
    """Take a result and give none."""
