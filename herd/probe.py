"""Asks nodes how they are, and notices when an agent falls silent.

A node without an agent is asked itself: what is in its memory every 5 s, what is on its disk every
60 s, and both every second while it does not answer or a load is expected. One question at a time
per node; every answer is reported, also one that says nothing new: who records it, decides.
A node with an agent is not asked, since its heartbeat says the same; only its silence is reported.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from events import Event, NodeId, NodeProbed, NodeSilent
from herd.survey import Kind, Survey, survey
from herd.tasks import spawn


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often, in seconds."""

    idle_s: float = 5.0
    """From the start of one question to the next."""
    eager_s: float = 1.0
    """The same while the node is down or a load is expected."""
    models_s: float = 60.0
    """Between two looks at the disk."""
    load_s: float = 300.0
    """How long an expected load is waited for: Ollama's own limit."""
    timeout_s: float = 2.0
    """For each answer."""
    silent_after_s: float = 15.0
    """Without a heartbeat until silence is first reported."""
    silent_every_s: float = 5.0
    """From then on."""


async def probe(node_id: NodeId, url: str, *, want_models: bool) -> NodeProbed:
    """Ask one node once, without knowing what it is."""
    return _reported(node_id, await survey(url, want_models=want_models))


class Prober:
    """Watches nodes and reports what it finds, from the loop it was made on."""

    def __init__(self, report: Callable[[Event], None], pace: Pace | None = None) -> None:
        """Report to a callback, which must not block."""
        self._report = report
        self._pace = pace or Pace()
        self._watched: dict[NodeId, _Asked | _Heard] = {}

    def watch(self, node_id: NodeId, url: str, *, agentless: bool) -> None:
        """Ask a node from now on, or only listen for its agent; the same again changes nothing."""
        known = self._watched.get(node_id)
        if known is not None:
            if known.is_for(url, agentless=agentless):
                return
            known.stop()
        kind = _Asked if agentless else _Heard
        self._watched[node_id] = kind(node_id, url, self._report, self._pace)

    def pace(self, pace: Pace) -> None:
        """Ask and listen at another pace, from the next time on."""
        self._pace = pace
        for known in self._watched.values():
            known.pace = pace

    def forget(self, node_id: NodeId) -> None:
        """Let a node be; its last answer may still be under way and is not reported."""
        if (known := self._watched.pop(node_id, None)) is not None:
            known.stop()

    def heartbeat(self, node_id: NodeId) -> None:
        """Take note that a node's agent was heard just now."""
        if isinstance(known := self._watched.get(node_id), _Heard):
            known.heard()

    def expect_load(self, node_id: NodeId) -> None:
        """Ask every second until something else is in memory than now."""
        if isinstance(known := self._watched.get(node_id), _Asked):
            known.expect_load()

    def refresh(self, node_id: NodeId) -> None:
        """Look at a node now, its disk too: after a pull, or when traffic found it ill.

        A node that is down is not asked any sooner for that: each failure is one look.
        """
        if isinstance(known := self._watched.get(node_id), _Asked):
            known.refresh()

    def look_at(self, node_id: NodeId) -> None:
        """Ask a node now what is on its disk and in memory, also one whose agent speaks for it."""
        match self._watched.get(node_id):
            case _Asked() as known:
                known.refresh()
            case _Heard() as known:
                known.look()
            case None:
                pass

    async def close(self) -> None:
        """Stop asking; returns when nothing is under way any more."""
        tasks = [known.task for known in self._watched.values() if isinstance(known, _Asked)]
        for known in self._watched.values():
            known.stop()
        self._watched.clear()
        if tasks:
            await asyncio.wait(tasks)


class _Asked:
    """A node that is asked."""

    def __init__(
        self, node_id: NodeId, url: str, report: Callable[[Event], None], pace: Pace
    ) -> None:
        self._node_id = node_id
        self._url = url
        self._report = report
        self.pace = pace
        self._loop = asyncio.get_running_loop()
        self._kind: Kind = ""
        self._reachable = False
        self._in_memory: frozenset[str] | None = None
        self._asked_at = float("-inf")
        self._models_at = float("-inf")
        self._refresh = True
        self._load_until = float("-inf")
        self._woken = asyncio.Event()
        self.task = spawn(self._ask_for_ever(), name=f"probe {node_id}")

    def is_for(self, url: str, *, agentless: bool) -> bool:
        return agentless and url == self._url

    def stop(self) -> None:
        self.task.cancel()

    def expect_load(self) -> None:
        self._load_until = self._loop.time() + self.pace.load_s
        self._woken.set()

    def refresh(self) -> None:
        self._refresh = True
        self._woken.set()

    async def _ask_for_ever(self) -> None:
        while True:
            while (wait_s := self._due_at() - self._loop.time()) > 0:
                self._woken.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
            await self._ask()

    def _due_at(self) -> float:
        if self._refresh and self._reachable:
            return self._asked_at
        eager = not self._reachable or self._loop.time() < self._load_until
        return self._asked_at + (self.pace.eager_s if eager else self.pace.idle_s)

    async def _ask(self) -> None:
        self._asked_at = self._loop.time()
        due = self._asked_at >= self._models_at + self.pace.models_s
        want_models = due or self._refresh or not self._reachable
        self._refresh = False
        found = await survey(
            self._url,
            want_models=want_models,
            kind=self._kind,
            timeout_s=self.pace.timeout_s,
        )
        self._reachable, self._kind = found.reachable, found.kind
        if found.models is not None:
            self._models_at = self._asked_at
        if found.resident is not None:
            in_memory = frozenset(model.name for model in found.resident)
            if in_memory != self._in_memory and self._in_memory is not None:
                self._load_until = float("-inf")
            self._in_memory = in_memory
        self._report(_reported(self._node_id, found))


class _Heard:
    """A node whose agent speaks for it."""

    def __init__(
        self, node_id: NodeId, url: str, report: Callable[[Event], None], pace: Pace
    ) -> None:
        self._node_id = node_id
        self._url = url
        self._report = report
        self.pace = pace
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(pace.silent_after_s, self._listen)

    def is_for(self, url: str, *, agentless: bool) -> bool:
        return not agentless and url == self._url

    def stop(self) -> None:
        self._timer.cancel()

    def look(self) -> None:
        """Tell what it has before its agent does; of its health the agent tells."""
        spawn(self._look(), name=f"look at {self._node_id}")

    async def _look(self) -> None:
        found = await survey(
            self._url, want_models=True, kind="ollama", timeout_s=self.pace.timeout_s
        )
        if found.models is not None:
            self._report(
                NodeProbed(
                    node_id=self._node_id,
                    reachable=True,
                    resident=found.resident,
                    models=found.models,
                )
            )

    def heard(self) -> None:
        self._heard_at = self._loop.time()  # the timer finds out when it fires

    def _listen(self) -> None:
        silent_s = self._loop.time() - self._heard_at
        if silent_s < self.pace.silent_after_s:
            self._timer = self._loop.call_later(self.pace.silent_after_s - silent_s, self._listen)
            return
        self._timer = self._loop.call_later(self.pace.silent_every_s, self._listen)
        self._report(NodeSilent(node_id=self._node_id, silent_s=silent_s))


def _reported(node_id: NodeId, found: Survey) -> NodeProbed:
    return NodeProbed(
        node_id=node_id,
        reachable=found.reachable,
        error=found.error,
        facts=found.facts,
        resident=found.resident,
        models=found.models,
    )
