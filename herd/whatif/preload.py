"""A machine that begins with models in its memory."""

from collections.abc import Iterable
from math import fsum

from herd.simulator.hardware import NodeSpec, SimulatedModel, load_s
from herd.simulator.physics import Job, Machine


def preloaded(spec: NodeSpec, resident: Iterable[str]) -> Machine:
    """Return a machine at its instant 0, with these models in memory."""
    models: dict[str, SimulatedModel] = {model.facts.name: model for model in spec.models}
    here = [models[name] for name in resident if name in models]
    now_s = -1.0 - fsum(load_s(spec, model) for model in here)
    machine = Machine(spec, now_s)
    for number, model in enumerate(here, start=1):
        machine.submit(now_s, Job(id=-number, model=model.facts.name))
        now_s += load_s(spec, model)
        machine.advance(now_s)
    machine.advance(0.0)
    return machine
