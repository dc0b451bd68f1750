"""The speed that is fitted is the speed that the machine had."""

from math import log as ln
from random import Random

import pytest

from actors.core.state import State
from events import NodeId
from herd.simulator.hardware import Step, step_s
from herd.whatif.evidence import gather
from herd.whatif.fit import Speed, fitted, predicted_s
from herd.whatif.observe import Stretch, by_node, stretches
from tests.herd.virtual.small import SPECS, busy


def test_nothing_is_fitted_to_nothing() -> None:
    assert fitted([]) is None
    assert fitted([Stretch(1.0)]) is None


def test_a_known_speed_is_found_again() -> None:
    true = Speed(weights_s=0.02, token_s=0.0005, fixed_s=0.001, cached_token_s=1e-7)
    random = Random(1)  # noqa: S311 (a test's lengths)
    seen: list[Stretch] = []
    for _ in range(200):
        prompt = Stretch(1.0, prompt_tokens=random.randint(50, 4000), own_prompt=True)
        beside = random.randint(0, 3)
        answer = Stretch(1.0, steps=random.randint(10, 400), beside=beside, cached_tokens=2000)
        for each in (prompt, answer):
            each.sharing = random.choice((1.0, 2.0))
            each.lasted_s = predicted_s(true, each)
            seen.append(each)
    found = fitted(seen)
    assert found is not None
    assert (found.observed, found.beside) == (400, 4)
    errors = [abs(ln(predicted_s(found, each) / each.lasted_s)) for each in seen]
    assert max(errors) < 0.05
    assert found.token_s == pytest.approx(true.token_s, rel=0.05)
    assert found.step_s(1, 2000) == pytest.approx(true.step_s(1, 2000), rel=0.05)


def test_the_machines_of_a_world_are_found_again_from_its_log() -> None:
    """What a prompt takes, within a tenth; what a step of one answer lasts, within a fifth."""
    _, log = busy(count=600)
    found = gather(State(), log)
    checked = 0
    for spec in SPECS:
        slots = {model.facts.name: spec.facts.slots for model in spec.models}
        seen = stretches(by_node(found.runs)[NodeId(spec.name)], slots)
        for model in spec.models:
            speed = fitted(seen.get(model.facts.name, []))
            if speed is None or speed.observed < 50:
                continue
            alone = step_s(spec, model, Step(tokens=1, cached_tokens=1000))
            prompt = step_s(spec, model, Step(tokens=512, cached_tokens=1000))
            assert speed.step_s(1, 1000) == pytest.approx(alone, rel=0.2), (spec.name, model)
            assert speed.step_s(512, 1000) == pytest.approx(prompt, rel=0.1), (spec.name, model)
            checked += 1
    assert checked >= 4
