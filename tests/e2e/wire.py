"""Plain HTTP, one connection a request, without herd's own client."""

import http.client
import json
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec

JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    """In lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def node(self) -> str:
        return self.headers["x-fleet-node"]

    @property
    def retries(self) -> int:
        return int(self.headers["x-fleet-retries"])

    @property
    def request_id(self) -> str:
        return self.headers["x-herd-request-id"]


class Call:
    """A request that was sent; its answer is read when it is wanted."""

    def __init__(
        self,
        url: str,
        path: str,
        body: object = None,
        *,
        method: str = "",
        headers: Mapping[str, str] = JSON,
        timeout_s: float = 30.0,
    ) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=timeout_s
        )
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        self._response: http.client.HTTPResponse | None = None
        try:
            self._connection.request(
                method or ("GET" if body is None else "POST"), path, data, dict(headers)
            )
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    @property
    def response(self) -> http.client.HTTPResponse:
        """The head of the answer, as soon as it is there."""
        if self._response is None:
            self._response = self._connection.getresponse()
        return self._response

    def lines(self) -> Iterator[bytes]:
        """Yield the body's lines as they come; raise if it breaks off."""
        kept = b""
        while data := self.response.read1():  # readline would hide that it broke off
            *whole, kept = (kept + data).split(b"\n")
            yield from whole
        if kept:
            yield kept

    def answer(self) -> Answer:
        response = self.response
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, headers, response.read())
        self.leave()
        return answer

    def leave(self) -> None:
        """Close the connection, whatever is under way on it."""
        if self._response is not None:
            self._response.close()
        self._connection.close()


def ask(
    url: str,
    path: str,
    body: object = None,
    *,
    method: str = "",
    headers: Mapping[str, str] = JSON,
    timeout_s: float = 30.0,
) -> Answer:
    """Ask, and wait for the whole answer."""
    with Call(url, path, body, method=method, headers=headers, timeout_s=timeout_s) as call:
        return call.answer()


def chat(model: str, *, stream: bool = False, **more: object) -> dict[str, object]:
    """Return a body for `/api/chat` and `/v1/chat/completions`."""
    messages = [{"role": "user", "content": "hello"}]
    return {"model": model, "messages": messages, "stream": stream, **more}
