"""Everything goes wrong at once for two minutes; `make soak` does the same for an hour."""

import os
import secrets
from pathlib import Path

import pytest

from herd.platform import run_loop
from tests.chaos.soak import SHORT, Soak
from tests.chaos.test_kills import free_port

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(480)]

GROUND = {"full disk", "read-only", "damaged WAL", "stop everything"}


def test_everything_goes_wrong_and_nobody_is_lied_to(tmp_path: Path) -> None:
    seed = int(os.environ.get("HERD_CHAOS_SEED") or secrets.randbelow(1_000_000))
    soak = Soak(tmp_path, SHORT, seed, free_port())
    verdict = run_loop(soak.run())
    found = f"HERD_CHAOS_SEED={seed}: {soak.figures()}"
    assert not verdict.wrong, found
    assert soak.world.kills.total() >= SHORT.kills, found
    assert {each.name for each in soak.world.troubles} >= GROUND, found
    assert verdict.ends["RequestCompleted"] > 100, found
