"""Carries planned loads out: a node is asked for nothing but to have a model in memory.

As Ollama has it, an empty prompt loads a model, and with `keep_alive` 0 unloads it; models that
only embed have a route of their own. How long a loaded model stays is left to the node's own
setting, unless it is pinned. One request at a time for each plan; what came of it is reported as
a fact, always.
"""

import asyncio
from collections.abc import Callable

import msgspec

from actors.core.state import Node
from events import Event, LoadFinished, LoadPlanned
from herd.http.client import FetchError, fetch
from herd.tasks import spawn

LOAD_S = 300.0
"""Ollama's own limit for a load."""
UNLOAD_S = 10.0
FOR_EVER = -1
OK = 200
EMBEDS = "embedding"
"""What Ollama says that such a model is capable of."""
_JSON = ((b"Content-Type", b"application/json"),)
_NS = 1e9


class _Answer(msgspec.Struct, gc=False):
    load_duration: int = 0


class Loader:
    """The loads under way, on the loop it was made on."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        """Report to a callback, which must not block."""
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, plan: LoadPlanned, node: Node) -> None:
        """Begin what was planned for a node."""
        embeds = {name for name, facts in node.models.items() if EMBEDS in facts.capabilities}
        task = spawn(self._carry_out(plan, node.url, embeds), name=f"load {plan.node_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Leave the loads to their nodes; returns when nothing is under way any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _carry_out(self, plan: LoadPlanned, url: str, embeds: set[str]) -> None:
        began_s = self._loop.time()
        load_s, error = 0.0, ""
        try:
            for model in plan.leaving:
                await _ask(url, model, UNLOAD_S, embeds=model in embeds, keep_alive=0)
            keep = {"keep_alive": FOR_EVER} if plan.reason == "pinned" else {}
            answer = await _ask(url, plan.model, LOAD_S, embeds=plan.model in embeds, **keep)
            load_s = answer.load_duration / _NS or self._loop.time() - began_s
        except FetchError as failure:
            error = failure.text
        self._report(
            LoadFinished(
                node_id=plan.node_id, model=plan.model, load_s=round(load_s, 6), error=error
            )
        )


async def _ask(url: str, model: str, timeout_s: float, *, embeds: bool, **more: int) -> _Answer:
    path = "/api/embed" if embeds else "/api/generate"
    asked: dict[str, object] = {"model": model, **more}
    if embeds:
        asked["input"] = []
    answer = await fetch(
        "POST", url + path, headers=_JSON, body=msgspec.json.encode(asked), timeout_s=timeout_s
    )
    if answer.status != OK:
        raise FetchError("first_byte", f"answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Answer()  # it said 200, which is all that counts
