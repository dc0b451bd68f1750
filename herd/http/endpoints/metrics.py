"""`/metrics` for Prometheus: the fleet as control folds it, and what logd counts.

Of the former, what only rises is a counter as old as the log's fold: a restart of herd does not set
it back. Units and names are those that Prometheus asks for (seconds, `_total`); models are those of
the fleet's nodes, so that clients cannot make labels: others that are waited for count under "".
While logd is away its part is missing, and `herd_logd_up` is 0.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from events import Gpu
from herd.http.exchange import Exchange
from herd.http.history import History
from herd.link.client import Control
from herd.link.messages import View
from herd.logd.wire import LogdAwayError
from herd.tasks import spawn
from herd.version import version

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4.encode("ascii")

MOST_MODELS: Final = 1000
"""Of which logd is told that they may be labels."""
_NODE: Final = ("node",)
_BOTH: Final = ("node", "model")


_CARDS: Final[tuple[tuple[str, str, Callable[[Gpu], float | None]], ...]] = (
    ("herd_gpu_memory_bytes", "Memory of a card.", lambda gpu: gpu.total_bytes),
    ("herd_gpu_memory_used_bytes", "Of it in use.", lambda gpu: gpu.used_bytes),
    ("herd_gpu_busy_percent", "Use of a card.", lambda gpu: gpu.busy_pct),
    ("herd_gpu_temperature_celsius", "Heat of a card.", lambda gpu: gpu.temperature_c),
    ("herd_gpu_power_watts", "Power that a card takes.", lambda gpu: gpu.power_w),
)


class MetricsPage:
    """Asks logd, and tells with its part what control shows."""

    def __init__(self, control: Control, history: History) -> None:
        """Tell of control's view and the history."""
        self._control = control
        self._history = history

    def show(self, exchange: Exchange) -> None:
        """Answer a scrape."""
        spawn(self._show(exchange), name="metrics")

    async def _show(self, exchange: Exchange) -> None:
        try:
            models = sorted(known_models(self._control.view))[:MOST_MODELS]
            try:
                [row] = await self._history.rows("metrics", {"models": models})
            except LogdAwayError:
                counted = ""
            else:
                counted = str(row["text"])
            up = _told("herd_logd_up", "1 while logd answers.", (), [((), int(bool(counted)))])
            told = text(self._control.view, up) + counted.encode()
        except BaseException:
            exchange.fail()
            raise
        exchange.respond(200, ((b"Content-Type", CONTENT_TYPE),), told)


def known_models(view: View) -> set[str]:
    """Return the models of the nodes."""
    known = {model.name for node in view.nodes for model in node.models}
    return known | {model for node in view.nodes for model in node.slots}


def text(view: View, *more: Metric) -> bytes:
    """Return the whole exposition of a view."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fleet(view, more))
    return generate_latest(registry)


class _Fleet(Collector):
    def __init__(self, view: View, more: Iterable[Metric]) -> None:
        self._view = view
        self._more = more

    def collect(self) -> Iterable[Metric]:
        """Yield every family."""
        yield _told("herd_info", "The version of herd.", ("version",), [((version(),), 1)])
        recording = int(self._view.recording)
        yield _told("herd_log_recording", "1 while the log is written.", (), [((), recording)])
        yield from self._of_nodes()
        yield from self._of_cards()
        yield from self._of_models()
        yield from self._more
        known = known_models(self._view)
        waiting = [((model,), n) for model, n in self._view.waiting.items() if model in known]
        others = sum(n for model, n in self._view.waiting.items() if model not in known)
        waiting += [(("",), others)] if others else []
        yield _told("herd_requests_waiting", "Requests in line.", ("model",), waiting)
        waits = [((model,), wait_s) for model, wait_s in self._view.predicted_wait_s.items()]
        yield _told("herd_predicted_wait_seconds", "Of one who comes last now.", ("model",), waits)

    def _of_nodes(self) -> Iterator[Metric]:
        nodes = self._view.nodes
        up = [((node.node_id,), int(node.answers)) for node in nodes]
        yield _told("herd_node_up", "1 while a node answers.", _NODE, up)
        drained = [((node.node_id,), int(node.draining)) for node in nodes]
        yield _told("herd_node_draining", "1 while it gets no new work.", _NODE, drained)
        paused = [((node.node_id,), int(bool(node.paused))) for node in nodes]
        yield _told("herd_node_paused", "1 while its owner keeps it to himself.", _NODE, paused)
        asleep = [((node.node_id,), int(node.status == "sleeping")) for node in nodes]
        yield _told("herd_node_sleeping", "1 while it sleeps, and may be woken.", _NODE, asleep)
        held = [
            ((node.node_id, model.name), model.size_bytes)
            for node in nodes
            for model in node.resident
        ]
        yield _told("herd_model_resident_bytes", "Models in memory.", _BOTH, held)

    def _of_cards(self) -> Iterator[Metric]:
        """Tell what the drivers tell; of what they do not, nothing."""
        cards = [
            ((node.node_id, str(at)), gpu)
            for node in self._view.nodes
            for at, gpu in enumerate(node.gpus)
        ]
        for name, what, read in _CARDS:
            told = [(labels, value) for labels, gpu in cards if (value := read(gpu)) is not None]
            yield _told(name, what, ("node", "gpu"), told)

    def _of_models(self) -> Iterator[Metric]:
        pairs = [
            ((node.node_id, model), slots)
            for node in self._view.nodes
            for model, slots in node.slots.items()
        ]
        limits = [(labels, slots.slots) for labels, slots in pairs]
        yield _told("herd_slots", "Requests that may run at once.", _BOTH, limits)
        running = [(labels, slots.in_flight) for labels, slots in pairs]
        yield _told("herd_requests_in_flight", "Requests that run.", _BOTH, running)
        ended = CounterMetricFamily(
            "herd_requests", "Requests that ended at a node.", labels=(*_BOTH, "outcome")
        )
        seconds = CounterMetricFamily(
            "herd_request_service_seconds", "Their time, dispatch to last byte.", labels=_BOTH
        )
        tokens = CounterMetricFamily(
            "herd_tokens", "Tokens of completed requests.", labels=(*_BOTH, "kind")
        )
        for labels, slots in pairs:
            ended.add_metric((*labels, "completed"), slots.completed)
            ended.add_metric((*labels, "failed"), slots.failed)
            seconds.add_metric(labels, slots.service_s * slots.completed)
            tokens.add_metric((*labels, "prompt"), slots.prompt_tokens * slots.completed)
            tokens.add_metric((*labels, "completion"), slots.completion_tokens * slots.completed)
        yield from (ended, seconds, tokens)


def _told(
    name: str,
    what: str,
    labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=labels)
    for each, value in values:
        family.add_metric(each, value)
    return family
