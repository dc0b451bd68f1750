"""What the ports of `herd` promise; the type checkers are the test."""

import asyncio
from typing import assert_type

from herd.clock import Clock
from herd.link.messages import FromControl, FromFront, View
from herd.tasks import spawn


def test_a_task_has_the_type_of_its_outcome() -> None:
    async def seven() -> int:
        return 7

    async def main() -> int:
        task = spawn(seven(), name="seven")
        assert_type(task, asyncio.Task[int])
        return await task

    assert asyncio.run(main()) == 7


def test_instants_are_whole_microseconds() -> None:
    assert_type(Clock().now_us(), int)


def test_what_travels_is_a_closed_set() -> None:
    def passed(message: FromControl | FromFront) -> View | None:
        return message if isinstance(message, View) else None

    assert_type(passed(View()), View | None)
    assert passed(View()) == View()
