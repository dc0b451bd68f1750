"""The policy `soonest`, told beforehand what it otherwise learns: every length, speed and load."""

from collections.abc import Sequence

from actors.core.learning import Demand, Mean, Speed
from actors.core.placement import Choice
from actors.core.soonest import soonest
from actors.core.state import Node, Request, State
from benchmarks.placement.fleets import MODELS
from herd.simulator.hardware import (
    STEP_TOKENS,
    NodeSpec,
    SimulatedModel,
    Step,
    default_context,
    load_s,
    resident_bytes,
    step_s,
)
from herd.virtual.script import Arrival


class Clairvoyant:
    """A policy for one workload on one fleet."""

    def __init__(self, specs: Sequence[NodeSpec], asked: Sequence[Arrival]) -> None:
        """Look at everything that will be asked."""
        self._asked = {each.request.request_id: each for each in asked}
        prompt = sum(each.prompt_tokens for each in asked) / len(asked)
        answer = sum(each.output_tokens for each in asked) / len(asked)
        self._specs = {spec.name: spec for spec in specs}
        self._speeds = {
            (spec.name, model.facts.name): _speed(spec, model, prompt + answer / 2)
            for spec in specs
            for model in spec.models
        }
        lasts_s = (asked[-1].at_us - asked[0].at_us) / 1e6
        self._demands: dict[str, Demand] = {}
        for model in MODELS:
            count = sum(each.request.model == model.facts.name for each in asked)
            self._demands[model.facts.name] = Demand(
                per_s=count / lasts_s,
                prompt_tokens=Mean(1, prompt),
                answer_tokens=Mean(1, answer),
                body_bytes=Mean(1, prompt),
            )

    def __call__(self, state: State, request: Request) -> Choice | None:
        """Choose by `soonest`, from what is true in place of what was learned."""
        for node in state.nodes.values():
            self._tell(node)
        told = dict(self._demands)
        for demand in told.values():
            demand.at_us = state.recorded_at
        arrival = self._asked[request.request_id]
        mine = told[request.model]
        told[request.model] = Demand(
            per_s=mine.per_s,
            at_us=state.recorded_at,
            prompt_tokens=mine.prompt_tokens,
            answer_tokens=Mean(1, float(arrival.output_tokens)),
            body_bytes=mine.body_bytes,
        )
        learned, state.demands = state.demands, told
        size_bytes, request.body_bytes = request.body_bytes, arrival.prompt_tokens
        choice = soonest(state, request)
        state.demands, request.body_bytes = learned, size_bytes
        return choice

    def _tell(self, node: Node) -> None:
        spec = self._specs[node.node_id]
        for model in spec.models:
            name = model.facts.name
            true = self._speeds[node.node_id, name]
            learned = node.speeds.setdefault(name, Speed())
            learned.token, learned.step, learned.load = true
            if name not in node.footprints:
                node.footprints[name] = resident_bytes(spec, model, default_context(spec))


def _speed(spec: NodeSpec, model: SimulatedModel, cached: float) -> tuple[Mean, Mean, Mean]:
    """Return the time of a token of a prompt, of one of an answer, and of a load."""
    token_s = step_s(spec, model, Step(tokens=STEP_TOKENS)) / STEP_TOKENS
    decode_s = step_s(spec, model, Step(tokens=1, cached_tokens=int(cached)))
    return Mean(1, token_s), Mean(1, decode_s), Mean(1, load_s(spec, model))
