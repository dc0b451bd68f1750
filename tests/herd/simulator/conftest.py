import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

Main: TypeAlias = Coroutine[Any, Any, None]
Run: TypeAlias = Callable[[Main], None]


@pytest.fixture
def run(on_each_loop: Callable[[Main], object]) -> Run:
    """Run a test's coroutine on each loop, for 20 s at most."""

    async def bounded(main: Main) -> None:
        async with asyncio.timeout(20):
            await main

    def on_loop(main: Main) -> None:
        on_each_loop(bounded(main))

    return on_loop
