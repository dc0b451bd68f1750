"""What OpenTelemetry calls who answers at a node, as far as the log tells of it.

By its conventions for generative AI, `gen_ai.provider.name` is told "based on the instrumentation's
best knowledge and may differ from the actual model provider". `openai` is its well-known value for
servers that are asked by OpenAI's API, whoever made them (llama.cpp, vLLM); Ollama has none there,
so it goes by its own name. Both are how herd calls what a node speaks.
"""

from typing import Final

import msgspec

from events import Event, HeartbeatReceived, NodeId, NodeProbed, StateSnapshotted

OLLAMA: Final = "ollama"
"""Also while nothing is known: it is what herd is to its clients."""

TELLING: Final = ("heartbeat_received", "node_probed", "state_snapshotted")
"""Kinds of the events that tell of it."""


class _Facts(msgspec.Struct, frozen=True):
    dialect: str = OLLAMA


class _Node(msgspec.Struct, frozen=True):
    facts: _Facts = _Facts()


class _State(msgspec.Struct, frozen=True):
    nodes: dict[str, _Node] = {}


_states = msgspec.json.Decoder(_State)


class Providers:
    """Those of all nodes that were told of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._known: dict[str, str] = {}

    def hear(self, event: Event) -> None:
        """Take the next event of the log; a state tells of all nodes that there are."""
        match event:
            case HeartbeatReceived(facts=facts) | NodeProbed(facts=facts) if facts is not None:
                self._known[event.node_id] = facts.dialect
            case StateSnapshotted(state=state):
                nodes = _states.decode(state).nodes
                self._known = {name: node.facts.dialect for name, node in nodes.items()}
            case _:
                pass

    def of(self, node_id: NodeId) -> str:
        """Return the provider at a node."""
        return self._known.get(node_id, OLLAMA)

    def others(self) -> dict[str, str]:
        """Return those that are not Ollama, by their nodes."""
        return {node: name for node, name in self._known.items() if name != OLLAMA}
