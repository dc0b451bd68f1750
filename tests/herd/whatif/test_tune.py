"""A machine that answers faster or slower than the log says is found out."""

import msgspec
import pytest

from actors.core.state import US
from events import NodeId, RequestId
from herd.simulator.hardware import Measured
from herd.simulator.profiles import tower
from herd.whatif.evidence import Run
from herd.whatif.tune import LARGEST, factors
from tests.herd.whatif.logs import evidence

MODEL = "qwen2.5:7b"
TOWER = NodeId("tower")


def wrong(factor: float) -> float:
    """What is found of a machine whose every step takes so many times as long as it should."""
    spec = tower()
    runs = [each for each in evidence(400).runs if each.node_id == TOWER]
    true = Measured(weights_s=0.009, token_s=0.00026, load_s=2.4, slots=2, resident_bytes=6 << 30)
    first = factors(msgspec.structs.replace(spec, measured={MODEL: true}), (), runs)[MODEL]
    slower = msgspec.structs.replace(
        true, weights_s=true.weights_s * factor, token_s=true.token_s * factor
    )
    found = factors(msgspec.structs.replace(spec, measured={MODEL: slower}), (), runs)
    return found[MODEL] / first


def test_the_true_machine_needs_no_correction() -> None:
    runs = [each for each in evidence(400).runs if each.node_id == TOWER]
    found = factors(tower(), (), runs)
    assert set(found) == {MODEL, "llama3.2:3b"}
    for factor in found.values():
        assert factor == pytest.approx(1.0, abs=0.005)


def test_one_that_is_too_slow_or_too_fast_is_found_out() -> None:
    assert wrong(1.25) == pytest.approx(1 / 1.25, rel=0.1)
    assert wrong(0.8) == pytest.approx(1 / 0.8, rel=0.1)
    assert wrong(9.0) < 1 / LARGEST * 1.3


def test_few_answers_correct_nothing() -> None:
    runs = [each for each in evidence(400).runs if each.node_id == TOWER][:9]
    assert factors(tower(), (), runs) == {}
    assert factors(tower(), (), []) == {}


def test_runs_that_broke_off_take_their_time_and_are_no_evidence() -> None:
    broken = Run(RequestId("x"), TOWER, MODEL, US, cold=True, stream=True, ended_us=60 * US)
    assert factors(tower(), (), [broken]) == {}
