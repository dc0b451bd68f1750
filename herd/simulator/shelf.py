"""The disk of a simulated node: pull, push, create, copy and delete of models, and blobs.

Who pulls what is being pulled already watches the same download, as with Ollama; when the last one
leaves, it stops, and the next goes on from there. Time is the node's own: a download runs at
`NodeSpec.pull_bytes_per_s`. Copied and created models share what they are made of.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from herd.clock import wall_s
from herd.dialects import names
from herd.dialects.dates import rfc3339
from herd.http.exchange import Exchange
from herd.simulator import asks, ollama_bodies
from herd.simulator.asks import AskError
from herd.simulator.engine import Engine
from herd.simulator.hardware import SimulatedModel
from herd.simulator.inference import Planner, find
from herd.simulator.profiles import REGISTRY

TICK_S: Final = 0.05
NOT_THERE: Final = "pull model manifest: file does not exist"
NO_SPACE: Final = "write blob: no space left on device"
BLOBS: Final = "/api/blobs/"

_JSON = ((b"Content-Type", ollama_bodies.Chat.whole_type),)
_NDJSON = ((b"Content-Type", ollama_bodies.Chat.stream_type),)
_SMALL_LAYERS: Final = (1_429, 7_711, 485)
"""Template, licence and settings, in bytes."""


class _Named(msgspec.Struct, gc=False):
    model: str = ""
    name: str = ""
    stream: bool | None = None

    @property
    def called(self) -> str:
        return self.model or self.name


class CopyRequest(msgspec.Struct, gc=False):
    """`POST /api/copy`, by Go's name for it."""

    source: str = ""
    destination: str = ""


class _Create(msgspec.Struct, rename={"base": "from"}, gc=False):
    model: str = ""
    name: str = ""
    base: str = ""
    files: dict[str, str] = {}
    stream: bool | None = None


class Shelf:
    """What lies on one node's disk."""

    def __init__(self, planner: Planner, engine: Callable[[], Engine]) -> None:
        """Begin with the models of the planner."""
        self._planner = planner
        self._engine = engine
        self._blobs: dict[str, int] = {}
        self._downloads: dict[str, Download] = {}
        self._partial: dict[str, float] = {}

    @property
    def models(self) -> tuple[SimulatedModel, ...]:
        """The models, in the order in which they came."""
        return tuple(self._planner.models.values())

    def close(self) -> None:
        """Stop what is under way."""
        for download in tuple(self._downloads.values()):
            download.stop()

    # One method a route.

    def pull(self, exchange: Exchange, rate: float) -> None:
        """Answer `POST /api/pull`."""
        asked = asks.decode(exchange.request.body, _Named)
        if not asked.called.strip():
            raise AskError(400, "invalid model name")
        streams = asked.stream is not False
        model = _published(asked.called)
        if model is None:
            _all(exchange, [{"status": "pulling manifest"}, {"error": NOT_THERE}], streams=streams)
            return
        wanted = names.key(asked.called)
        download = self._downloads.get(wanted)
        if download is None:
            free_bytes = self._planner.spec.disk_free_bytes
            download = self._downloads[wanted] = Download(
                model,
                bytes_per_s=self._planner.spec.pull_bytes_per_s * rate,
                have_bytes=self._partial.pop(wanted, 0.0),
                fits=not free_bytes or model.facts.size_bytes <= free_bytes,
                landed=self._landed,
            )
            if wanted in self._planner.models:
                download.have_bytes = float(model.facts.size_bytes)
        download.watch(exchange, streams=streams)

    def push(self, exchange: Exchange) -> None:
        """Answer `POST /api/push`: as good as at once."""
        asked = asks.decode(exchange.request.body, _Named)
        model = find(self._planner.models, asked.called)
        digest, size = model.facts.digest, model.facts.size_bytes
        layer = {"status": f"pushing {digest[:12]}", "digest": f"sha256:{digest}", "total": size}
        told: list[dict[str, object]] = [
            {"status": "retrieving manifest"},
            dict(layer),
            {**layer, "completed": size},
            {"status": "pushing manifest"},
            {"status": "success"},
        ]
        _all(exchange, told, streams=asked.stream is not False)

    def create(self, exchange: Exchange) -> None:
        """Answer `POST /api/create`: from a model that is here, or from blobs that are."""
        asked = asks.decode(exchange.request.body, _Create)
        called = asked.model or asked.name
        missing = [digest for digest in asked.files.values() if digest not in self._blobs]
        if missing:
            raise AskError(400, f"blob {missing[0]} not found")
        if asked.base:
            base = find(self._planner.models, asked.base)
            made = _renamed(base, called)
        elif asked.files:
            size = 0
            for digest in asked.files.values():
                size += self._blobs[digest]
            made = _renamed(REGISTRY["smollm2:135m"], called, size_bytes=size)
        else:
            raise AskError(400, "neither 'from' or 'files' was specified")
        self._stock(made)
        told: list[dict[str, object]] = [
            {"status": f"using existing layer sha256:{made.facts.digest}"},
            {"status": "writing manifest"},
            {"status": "success"},
        ]
        _all(exchange, told, streams=asked.stream is not False)

    def copy(self, exchange: Exchange) -> None:
        """Answer `POST /api/copy`."""
        asked = asks.decode(exchange.request.body, CopyRequest)
        for what, name in (("source", asked.source), ("destination", asked.destination)):
            if not name:
                raise AskError(400, f'{what} "" is invalid')
        source = self._planner.models.get(names.key(asked.source))
        if source is None:
            raise AskError(404, f'model "{asked.source}" not found')
        self._stock(_renamed(source, asked.destination))
        exchange.respond(200, (), b"")

    def delete(self, exchange: Exchange) -> None:
        """Answer `DELETE /api/delete`; what runs of the model may end."""
        asked = asks.decode(exchange.request.body, _Named)
        model = find(self._planner.models, asked.called)
        del self._planner.models[names.key(asked.called)]
        self._engine().unload(model.facts.name)
        exchange.respond(200, (), b"")

    def blob(self, exchange: Exchange) -> None:
        """Answer `HEAD` and `POST /api/blobs/:digest`."""
        digest = exchange.request.path.removeprefix(BLOBS)
        known = digest in self._blobs
        if exchange.request.method == b"HEAD":
            exchange.respond(200 if known else 404, (), b"")
        elif known:
            exchange.respond(200, (), b"")
        elif (upload := exchange.request.upload) is not None:
            upload.open(_Blob(self._blobs, digest, exchange))
        else:
            blob = _Blob(self._blobs, digest, exchange)
            blob.piece(exchange.request.body)
            blob.whole()

    # Inside.

    def _stock(self, model: SimulatedModel) -> None:
        self._planner.models[names.key(model.facts.name)] = model
        self._engine().machine.stock(model)

    def _landed(self, download: "Download", *, whole: bool) -> None:
        wanted = names.key(download.model.facts.name)
        self._downloads.pop(wanted, None)
        if whole:
            self._stock(download.model)
        else:
            self._partial[wanted] = download.have_bytes


class _Blob:
    """A part of a model, as it comes."""

    def __init__(self, blobs: dict[str, int], digest: str, exchange: Exchange) -> None:
        self._blobs = blobs
        self._digest = digest
        self._exchange = exchange
        self._sum = hashlib.sha256()
        self._size_bytes = 0

    def piece(self, data: bytes) -> None:
        self._sum.update(data)
        self._size_bytes += len(data)

    def whole(self) -> None:
        if self._digest != f"sha256:{self._sum.hexdigest()}":
            body = msgspec.json.encode({"error": "digest mismatch"})
            self._exchange.respond(400, _JSON, body)
        else:
            self._blobs[self._digest] = self._size_bytes
            self._exchange.respond(201, (), b"")


class Download:
    """A model on its way to the disk, and everybody who watches it."""

    def __init__(
        self,
        model: SimulatedModel,
        *,
        bytes_per_s: float,
        have_bytes: float,
        fits: bool,
        landed: Callable[..., None],
    ) -> None:
        """Begin, or go on, with so much of it."""
        self.model = model
        self.have_bytes = have_bytes
        self._bytes_per_s = bytes_per_s
        self._fits = fits
        self._landed = landed
        self._watching: dict[Exchange, bool] = {}
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._ticked_s = self._loop.time()

    def watch(self, exchange: Exchange, *, streams: bool) -> None:
        """Tell one more how far it is."""
        self._watching[exchange] = streams
        exchange.on_gone = lambda: self._leave(exchange)
        if streams:
            exchange.start(200, _NDJSON, None, _line({"status": "pulling manifest"}))
            exchange.write(_line(self._layer()))

    def stop(self) -> None:
        """Stop where it is."""
        self._timer.cancel()
        self._landed(self, whole=False)

    def _leave(self, exchange: Exchange) -> None:
        del self._watching[exchange]
        if not self._watching:
            self.stop()

    def _layer(self) -> dict[str, object]:
        digest, size = self.model.facts.digest, self.model.facts.size_bytes
        layer: dict[str, object] = {
            "status": f"pulling {digest[:12]}",
            "digest": f"sha256:{digest}",
            "total": size,
        }
        done = min(size, int(self.have_bytes))
        return {**layer, "completed": done} if done else layer

    def _tick(self) -> None:
        now_s = self._loop.time()
        self.have_bytes += self._bytes_per_s * (now_s - self._ticked_s)
        self._ticked_s = now_s
        if not self._fits:
            self._end([{"error": NO_SPACE}], whole=False)
        elif self.have_bytes >= self.model.facts.size_bytes:
            self._end([self._layer(), *_rest(self.model)], whole=True)
        else:
            self._timer = self._loop.call_later(TICK_S, self._tick)
            for exchange, streams in self._watching.items():
                if streams and not exchange.blocked:
                    exchange.write(_line(self._layer()))

    def _end(self, told: list[dict[str, object]], *, whole: bool) -> None:
        self._landed(self, whole=whole)
        for exchange, streams in self._watching.items():
            exchange.on_gone = None
            if streams:
                exchange.finish(b"".join(map(_line, told)))
            else:
                _all(exchange, told, streams=False)


def _published(called: str) -> SimulatedModel | None:
    model = REGISTRY.get(names.key(called))
    return None if model is None else _renamed(model, called)


def _renamed(model: SimulatedModel, name: str, size_bytes: int = 0) -> SimulatedModel:
    facts = msgspec.structs.replace(
        model.facts,
        name=names.normalise(name),
        modified_at=rfc3339(wall_s()),
        size_bytes=size_bytes or model.facts.size_bytes,
    )
    return msgspec.structs.replace(model, facts=facts)


def _rest(model: SimulatedModel) -> Iterator[dict[str, object]]:
    """Yield what is said after the weights are there."""
    for number, size in enumerate(_SMALL_LAYERS):
        digest = hashlib.sha256(f"{model.facts.digest} {number}".encode()).hexdigest()
        yield {
            "status": f"pulling {digest[:12]}",
            "digest": f"sha256:{digest}",
            "total": size,
            "completed": size,
        }
    for status in ("verifying sha256 digest", "writing manifest", "success"):
        yield {"status": status}


def _all(exchange: Exchange, told: list[dict[str, object]], *, streams: bool) -> None:
    """Answer with all of it: line by line, or with its last word."""
    if streams:
        exchange.start(200, _NDJSON)
        exchange.finish(b"".join(map(_line, told)))
        return
    last = told[-1]
    exchange.respond(500 if "error" in last else 200, _JSON, msgspec.json.encode(last))


def _line(told: dict[str, object]) -> bytes:
    return msgspec.json.encode(told) + b"\n"
