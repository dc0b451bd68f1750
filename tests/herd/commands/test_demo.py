"""`herd demo`: what it refuses before anything starts."""

from collections.abc import Coroutine

import pytest
from click.testing import CliRunner

from herd.commands.demo import command


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rate", "-1"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--seconds", "-1"),
        ("--time-scale", "0"),
        ("--port", "70000"),
        ("--workers", "-1"),
    ],
)
def test_what_no_demo_can_be_run_with_is_refused(
    option: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(work: Coroutine[object, object, object]) -> None:
        work.close()

    monkeypatch.setattr("herd.commands.demo.asyncio.run", run)
    result = CliRunner().invoke(command, [option, value])
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output
