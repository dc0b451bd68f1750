"""What a server says about itself: its dialect, what is in its memory and on its disk.

Only GET, and never a request that could load a model. It finds out by itself what it talks to:
Ollama answers `/api/ps`; everything else is asked for `/v1/models`, and by the way for
llama.cpp's `/props` and LM Studio's `/api/v0/models`, which know more. What was found is kept as
`Kind`, so that the next look asks only where an answer is expected.

A server that answers 503 is loading (llama.cpp says so to everything), or stands behind a proxy
that cannot reach it: either way a request sent there now would fail at once, so it counts as not
reachable, with the reason. It is asked again in a second.
"""

from typing import Literal, TypeVar

import msgspec

from events import ModelFacts, NodeFacts, ResidentModel
from herd.dialects.names import normalise
from herd.dialects.numbers import count
from herd.http.client import FetchError, fetch

Kind = Literal["", "ollama", "llama.cpp", "lmstudio", "openai"]
"""What a server turned out to be; empty while nobody knows."""

TIMEOUT_S = 2.0
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, BUSY = 200, 401, 403, 404, 405, 503

T = TypeVar("T")


class Survey(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One look at a server."""

    reachable: bool
    kind: Kind = ""
    error: str = ""
    facts: NodeFacts | None = None
    """None where this look did not ask."""
    resident: tuple[ResidentModel, ...] | None = None
    models: tuple[ModelFacts, ...] | None = None
    """None where this look did not ask."""
    is_herd: bool = False
    """Whether it is a balancer of ours, which speaks Ollama's API, too; where facts were asked."""


class SurveyError(Exception):
    """A server that cannot be used now, and why."""


async def survey(
    url: str, *, want_models: bool, kind: Kind = "", timeout_s: float = TIMEOUT_S
) -> Survey:
    """Ask a server what it has in memory and, if wanted, on disk; never raises for its sake."""
    server = _Server(url.rstrip("/"), timeout_s)
    try:
        if kind == "ollama":
            return await _ollama(server, want_models=want_models)
        if kind:
            return await _openai(server, kind, want_models=want_models)
        return await _unknown(server)
    except FetchError as error:
        return Survey(reachable=False, kind=kind, error=error.text)
    except SurveyError as error:
        return Survey(reachable=False, error=str(error))  # another server may have taken its place


class _Server:
    """The address, and how to read an answer from it."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s

    async def get(self, path: str, form: type[T]) -> T | None:
        """Return the answer, None where the server knows no such path, or raise."""
        response = await fetch("GET", self._url + path, timeout_s=self._timeout_s)
        match response.status:
            case 200:
                return None if _refuses(response.body) else _read(response.body, form, path)
            case 404 | 405 | 501:
                return None
            case 503:
                detail = _detail(response.body)
                raise SurveyError("it is loading" if "oading" in detail else f"busy (503) {detail}")
            case 401 | 403:
                raise SurveyError(
                    f"it refuses {path} ({response.status}): its allowed hosts, or a key it wants"
                )
            case status:
                raise SurveyError(f"it answers {status} to {path}")

    async def says_ollama(self) -> bool:
        """Whether the front page is Ollama's, for versions too old for `/api/ps`."""
        response = await fetch("GET", self._url + "/", timeout_s=self._timeout_s)
        return response.status == OK and b"Ollama is running" in response.body


class _Refusal(msgspec.Struct, gc=False):
    error: object = None


def _refuses(body: bytes) -> bool:
    """Whether it is an error with a good status: LM Studio's answer to paths that it lacks."""
    try:
        return msgspec.json.decode(body, type=_Refusal).error is not None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _read(body: bytes, form: type[T], path: str) -> T:
    try:
        return msgspec.json.decode(body, type=form, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SurveyError(f"what it answers to {path} cannot be read: {error}") from error


def _detail(body: bytes) -> str:
    return body[:200].decode("utf-8", "replace").strip()


async def _unknown(server: _Server) -> Survey:
    """Find out what it is, and look at everything."""
    if await server.get("/api/ps", _Listing) is not None or await server.says_ollama():
        return await _ollama(server, want_models=True)
    if (await server.get("/props", _Props)) is not None:
        return await _openai(server, "llama.cpp", want_models=True)
    if (listing := await server.get("/api/v0/models", _OpenModels)) is not None and listing.data:
        return await _openai(server, "lmstudio", want_models=True)
    return await _openai(server, "openai", want_models=True)


# Ollama


class _Details(msgspec.Struct, gc=False):
    parent_model: str | None = ""
    format: str | None = ""
    family: str | None = ""
    families: list[str] | None = None
    parameter_size: str | None = ""
    quantization_level: str | None = ""
    context_length: int | None = 0
    embedding_length: int | None = 0


class _Entry(msgspec.Struct, gc=False):
    """An entry of `/api/ps` or `/api/tags`."""

    name: str = ""
    model: str = ""
    size: int = 0
    digest: str | None = ""
    remote_model: str | None = ""
    remote_host: str | None = ""
    details: _Details | None = None
    modified_at: str | None = ""
    expires_at: str | None = ""
    size_vram: int | None = 0
    context_length: int | None = 0
    capabilities: list[str] | None = None

    @property
    def shown(self) -> str:
        return normalise(self.name or self.model)


class _Listing(msgspec.Struct, gc=False):
    models: list[_Entry] | None = None

    def named(self) -> dict[str, _Entry]:
        """Return the entries by name; the first of a name counts."""
        found: dict[str, _Entry] = {}
        for entry in self.models or ():
            if entry.name or entry.model:
                found.setdefault(entry.shown, entry)
        return found


class _Version(msgspec.Struct, gc=False):
    version: str = ""
    herd_version: str = ""


async def _ollama(server: _Server, *, want_models: bool) -> Survey:
    running = await server.get("/api/ps", _Listing)
    resident = None if running is None else _resident(running)
    if running is None and not await server.says_ollama():
        raise SurveyError("it does not speak Ollama's API any more")
    if not want_models:
        return Survey(reachable=True, kind="ollama", resident=resident)
    version = await server.get("/api/version", _Version) or _Version()
    tags = await server.get("/api/tags", _Listing)
    return Survey(
        reachable=True,
        kind="ollama",
        facts=NodeFacts(version=version.version),
        resident=resident,
        models=() if tags is None else _models(tags),
        is_herd=bool(version.herd_version),
    )


def _resident(listing: _Listing) -> tuple[ResidentModel, ...]:
    return tuple(
        ResidentModel(
            name=name,
            size_bytes=count(entry.size),
            size_vram_bytes=count(entry.size_vram),
            context_length=count(entry.context_length),
            expires_at=entry.expires_at or "",
            digest=entry.digest or "",
        )
        for name, entry in listing.named().items()
    )


def _models(listing: _Listing) -> tuple[ModelFacts, ...]:
    found: list[ModelFacts] = []
    for name, entry in listing.named().items():
        details = entry.details or _Details()
        found.append(
            ModelFacts(
                name=name,
                size_bytes=count(entry.size),
                digest=entry.digest or "",
                modified_at=entry.modified_at or "",
                format=details.format or "",
                family=details.family or "",
                families=tuple(details.families or ()),
                parameter_size=details.parameter_size or "",
                quantization_level=details.quantization_level or "",
                parent_model=details.parent_model or "",
                capabilities=tuple(entry.capabilities or ()),
                context_length=count(details.context_length),
                embedding_length=count(details.embedding_length),
                remote_model=entry.remote_model or "",
                remote_host=entry.remote_host or "",
            )
        )
    return tuple(found)


# Servers that only speak OpenAI's API


class _Generation(msgspec.Struct, gc=False):
    n_ctx: int = 0


class _TemplateCaps(msgspec.Struct, gc=False):
    supports_tools: bool = False
    supports_reasoning_effort: bool = False


class _Modalities(msgspec.Struct, gc=False):
    vision: bool = False
    audio: bool = False


class _Props(msgspec.Struct, gc=False):
    """What matters of llama.cpp's `/props`."""

    total_slots: int = 0
    default_generation_settings: _Generation | None = None
    build_info: str = ""
    chat_template: str | None = ""
    chat_template_caps: _TemplateCaps | None = None
    modalities: _Modalities | None = None

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What its model is able to do, in Ollama's words; nothing where it does not tell."""
        caps, senses = self.chat_template_caps, self.modalities or _Modalities()
        if caps is None:
            return ()
        thinks = caps.supports_reasoning_effort or "enable_thinking" in (self.chat_template or "")
        able = {
            "completion": True,
            "tools": caps.supports_tools,
            "vision": senses.vision,
            "audio": senses.audio,
            "thinking": thinks,
        }
        return tuple(name for name, is_able in able.items() if is_able)

    @property
    def context_length(self) -> int:
        return self.default_generation_settings.n_ctx if self.default_generation_settings else 0


class _Meta(msgspec.Struct, gc=False):
    """llama.cpp's `meta` of a model; null while it loads."""

    n_ctx_train: int | None = 0
    size: int | None = 0
    n_params: int | None = 0
    ftype: str | None = ""


class _Status(msgspec.Struct, gc=False):
    """llama.cpp's word on a model, where one server manages several."""

    value: str = "loaded"


class _OpenModel(msgspec.Struct, gc=False):
    """An entry of `/v1/models`, with what the different servers add."""

    id: str
    meta: _Meta | None = None
    status: _Status | None = None
    max_model_len: int | None = 0
    """vLLM's."""
    max_context_length: int | None = 0
    """LM Studio's, as are the next five."""
    loaded_context_length: int | None = 0
    state: str | None = None
    arch: str | None = ""
    quantization: str | None = ""
    type: str | None = ""
    capabilities: list[str] | None = None

    @property
    def is_resident(self) -> bool:
        if self.state is not None:
            return self.state == "loaded"
        return self.status is None or self.status.value == "loaded"

    @property
    def trained_context(self) -> int:
        trained = self.meta.n_ctx_train if self.meta else 0
        return count(trained or self.max_context_length or self.max_model_len)

    @property
    def size_bytes(self) -> int:
        return count(self.meta.size if self.meta else 0)

    def facts(self, name: str, able: tuple[str, ...]) -> ModelFacts:
        """Return it as Ollama would describe it; `able` is what its server says of its models."""
        meta = self.meta or _Meta()
        found = able or _CAPABILITIES.get(self.type or "", ())
        if self.capabilities and "tool_use" in self.capabilities:
            found = (*(found or ("completion",)), "tools")
        return ModelFacts(
            name=name,
            size_bytes=self.size_bytes,
            family=self.arch or "",
            parameter_size=_parameters(count(meta.n_params)),
            quantization_level=self.quantization or meta.ftype or "",
            capabilities=found,
            context_length=self.trained_context,
        )


class _OpenModels(msgspec.Struct, gc=False):
    data: list[_OpenModel] | None = None


def _parameters(number: int) -> str:
    """Write a number of parameters as Ollama does; nothing if it is unknown."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.{1 if unit == 'B' else 2}f}{unit}"
    return ""


_CAPABILITIES = {"embeddings": ("embedding",), "vlm": ("completion", "vision")}


async def _openai(server: _Server, kind: Kind, *, want_models: bool) -> Survey:
    path = "/api/v0/models" if kind == "lmstudio" else "/v1/models"
    listing = await server.get(path, _OpenModels)
    if listing is None:
        raise SurveyError("neither Ollama nor an OpenAI-compatible server answers there")
    props = (await server.get("/props", _Props) if kind == "llama.cpp" else None) or _Props()
    # Their names have no tag to add: such a server knows a model by its own spelling only.
    found = {entry.id.strip(): entry for entry in listing.data or () if entry.id.strip()}
    facts = NodeFacts(dialect="openai", slots=count(props.total_slots), version=props.build_info)
    return Survey(
        reachable=True,
        kind=kind,
        facts=facts,
        resident=tuple(
            ResidentModel(
                name=name,
                size_bytes=entry.size_bytes,
                context_length=count(
                    props.context_length or entry.loaded_context_length or entry.max_model_len
                ),
            )
            for name, entry in found.items()
            if entry.is_resident
        ),
        models=tuple(entry.facts(name, props.capabilities) for name, entry in found.items())
        if want_models
        else None,
    )
