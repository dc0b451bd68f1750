"""The same order to several nodes at once, each of which has to carry it out."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from events import Event, NodeId
from herd.http import problems
from herd.http.client import FetchError, Response, fetch
from herd.http.problems import BadRequestError
from herd.link.messages import NodeView

TIMEOUT_S: Final = 30.0
"""For an answer without progress."""
JSON_BODY: Final = ((b"Content-Type", b"application/json"),)
_OK: Final = 200


class Outcome(msgspec.Struct, frozen=True):
    """What became of an order."""

    done: list[NodeView]
    """The nodes that carried it out."""
    answers: list[Response]
    """Of all that answered, in their order."""
    wrong: list[str]
    """What the others said, or why they did not."""

    def failure(self) -> BadRequestError:
        """Return what a client is told of an order that was not carried out everywhere."""
        names = ", ".join(node.node_id for node in self.done)
        text = f"node failed: {'; '.join(self.wrong)}" + (f"; done on {names}" if names else "")
        return BadRequestError(text, status=502)


async def everywhere(
    nodes: Sequence[NodeView],
    request: tuple[str, str, bytes],
    fact: Callable[[NodeId], Event],
    tell: Callable[[Event], None],
) -> Outcome:
    """Send a method, a path and a body; what was done is told, node by node."""
    method, path, body = request
    asking = [asked(node, method, path, body) for node in nodes]
    found = await asyncio.gather(*asking, return_exceptions=True)
    outcome = Outcome([], [], [])
    for node, answer in zip(nodes, found, strict=True):
        if isinstance(answer, Response):
            outcome.answers.append(answer)
            if answer.status == _OK:
                outcome.done.append(node)
                tell(fact(node.node_id))
            else:
                said = problems.whole_error(answer.status, answer.body)
                outcome.wrong.append(f"{node.node_id} {said}")
        elif isinstance(answer, BadRequestError):
            outcome.wrong.append(answer.what)
        else:
            raise answer
    return outcome


async def asked(
    node: NodeView, method: str, path: str, body: bytes = b"", *, timeout_s: float = TIMEOUT_S
) -> Response:
    """Ask one node; `BadRequestError` with status 502 where it gives no answer."""
    headers = JSON_BODY if body else ()
    try:
        return await fetch(method, node.url + path, headers=headers, body=body, timeout_s=timeout_s)
    except FetchError as error:
        raise BadRequestError(f"{node.node_id}: {error.text}", status=502) from error
