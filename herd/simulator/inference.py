"""The inference routes of a simulated node: from a body to the plan of an answer. Pure.

One row a route: how its body is read, in which API it is answered, what the model must be able to
do. The checks and their words are Ollama's, in Ollama's order.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Literal

import msgspec

from herd.dialects import names
from herd.http import problems
from herd.simulator import answers, asks, calls, newer, ollama_bodies, openai_bodies, thinking
from herd.simulator.asks import Ask, AskError
from herd.simulator.hardware import NodeSpec, SimulatedModel, context_for
from herd.simulator.ollama_bodies import Ending
from herd.simulator.openai_bodies import Thinks
from herd.simulator.physics import Job
from herd.simulator.reply import Plan

Need = Literal["chat", "generate", "embed"]


Words = (
    ollama_bodies.Chat
    | ollama_bodies.Generate
    | openai_bodies.ChatCompletion
    | openai_bodies.Completion
    | newer.Words
)
"""An answer made of tokens: it can be written in one piece and as a stream."""


class Route(msgspec.Struct, frozen=True):
    """One way to ask."""

    read: Callable[[bytes], Ask]
    family: asks.Family
    need: Need


ROUTES: dict[str, Route] = {
    "/api/chat": Route(asks.chat, "ollama", "chat"),
    "/api/generate": Route(asks.generate, "ollama", "generate"),
    "/api/embed": Route(asks.embed, "ollama", "embed"),
    "/api/embeddings": Route(asks.embeddings, "ollama", "embed"),
    "/v1/chat/completions": Route(asks.chat_completion, "openai", "chat"),
    "/v1/completions": Route(asks.completion, "openai", "generate"),
    "/v1/embeddings": Route(asks.openai_embedding, "openai", "embed"),
    "/v1/messages": Route(newer.messages, "anthropic", "chat"),
    "/v1/responses": Route(newer.responses, "openai", "chat"),
}
NEWER = ("/v1/messages", "/v1/responses")
"""The routes that only newer servers have."""

THINKING = ("/api/chat", "/api/generate", "/v1/chat/completions", *NEWER)
"""The routes on which thoughts are told apart from words."""

ERRORS: dict[asks.Family, Callable[[int, str], bytes]] = {
    "ollama": ollama_bodies.error,
    "openai": openai_bodies.error,
    "anthropic": partial(problems.body, "anthropic"),
}
JSON_TYPES: dict[asks.Family, bytes] = {
    "anthropic": newer.Words.whole_type,
    "ollama": ollama_bodies.Chat.whole_type,
    "openai": openai_bodies.Completion.whole_type,
}


def find(models: Mapping[str, SimulatedModel], name: str) -> SimulatedModel:
    """Return the model of that name, in any of its spellings."""
    found = models.get(names.key(name)) if name.strip() else None
    if found is None:
        raise AskError(404, f"model '{name}' not found")
    return found


class Planner:
    """What a node needs to know to answer: itself, and its models by the keys of their names."""

    def __init__(self, spec: NodeSpec) -> None:
        """Know the node."""
        self.spec = spec
        self.models = {names.key(model.facts.name): model for model in spec.models}

    def plan(self, path: str, body: bytes, job: int) -> Plan:
        """Return the answer to a request, or say why there is none (`AskError`)."""
        route = ROUTES[path]
        ask = route.read(body)
        model = find(self.models, ask.model)
        _check(route, ask, model)
        if route.need == "embed":
            return self._vectors(path, ask, model, job)
        return self._words(path, ask, model, job)

    def _words(self, path: str, ask: Ask, model: SimulatedModel, job: int) -> Plan:
        drawn = answers.digest(self.spec, model.facts.name, ask.text)
        fixed = _fixed(ask) if ask.text else ()
        natural = ask.tokens or answers.natural_tokens(self.spec, drawn)
        said = len(fixed) or (natural if ask.text else 0)
        able = path in THINKING and ask.text and "thinking" in model.facts.capabilities
        thoughts = thinking.thoughts(ask.think) if able else ()
        tokens = len(thoughts) + said
        reason = "stop" if ask.text else "load"
        if ask.text and 0 < ask.most_tokens <= tokens:
            tokens, reason = ask.most_tokens, "length"
        if not ask.text and ask.keep_alive_s == 0:
            reason = "unload"
        body = _completion(path, ask, drawn, v1_only=self.spec.facts.dialect == "openai")
        left = max(0, tokens - len(thoughts))
        words = fixed[:left] or answers.pieces(self.spec.name, drawn, left, json=ask.json)
        return Plan(
            job=self._job(ask, model, job, output_tokens=tokens),
            whole=body,
            stream=body if ask.stream else None,
            pieces=(*thoughts, *words)[:tokens],
            thoughts=len(thoughts[:tokens]),
            reason=reason,
        )

    def _vectors(self, path: str, ask: Ask, model: SimulatedModel, job: int) -> Plan:
        length = min(ask.dimensions or model.embedding_length, model.embedding_length)
        vectors = [_vector(model, text, length) for text in ask.inputs]
        return Plan(job=self._job(ask, model, job), whole=_Vectors(path, ask, vectors))

    def _job(self, ask: Ask, model: SimulatedModel, job: int, output_tokens: int = 0) -> Job:
        context = context_for(self.spec, model, ask.num_ctx) * max(1, len(ask.inputs))
        if ask.prompt_tokens > context and not ask.truncate:
            raise AskError(400, "the input length exceeds the context length")
        return Job(
            id=job,
            model=model.facts.name,
            prompt_tokens=min(ask.prompt_tokens, context),
            output_tokens=output_tokens,
            prefixes=_beginnings(ask),
            num_ctx=ask.num_ctx,
            keep_alive_s=ask.keep_alive_s,
        )


def _check(route: Route, ask: Ask, model: SimulatedModel) -> None:
    """Refuse what the model cannot do."""
    if route.need != "embed" and model.embeds:
        raise AskError(400, f'"{ask.model}" does not support {route.need}')
    if ask.tools and "tools" not in model.facts.capabilities:
        raise AskError(400, f"{ollama_bodies.qualified(ask.model)} does not support tools")
    if ask.must_think and "thinking" not in model.facts.capabilities:
        raise AskError(400, f'"{ask.model}" does not support thinking')


def _fixed(ask: Ask) -> tuple[str, ...]:
    """Return the tokens of an answer that is no free text: a call is one, and says nothing."""
    if ask.call is not None:
        return ("",)
    return calls.in_pieces(calls.fitting(ask.schema, ask.text)) if ask.schema is not None else ()


def _completion(path: str, ask: Ask, drawn: int, *, v1_only: bool) -> Words:
    thinks_as: Thinks = "reasoning_content" if v1_only else "reasoning"
    match path:
        case "/api/chat":
            return ollama_bodies.Chat(ask.model, ask.call)
        case "/api/generate":
            return ollama_bodies.Generate(ask.model)
        case "/v1/completions":
            return openai_bodies.Completion(ask.model, drawn, usage=ask.usage)
        case _:
            completion = openai_bodies.ChatCompletion(
                ask.model, drawn, usage=ask.usage, call=ask.call, thinks_as=thinks_as
            )
            return newer.Words(path, ask, completion) if path in NEWER else completion


def _beginnings(ask: Ask) -> tuple[tuple[str, int], ...]:
    """Return where each message ends: a hash of all up to there, and its length in tokens."""
    digest, characters = blake2b(digest_size=8), 0
    found: list[tuple[str, int]] = []
    for message in ask.messages:
        digest.update(message.encode("utf-8", "replace") + b"\0")
        characters += len(message) + 1
        tokens = ask.template_tokens + characters // asks.CHARACTERS_PER_TOKEN
        found.append((digest.hexdigest(), tokens))
    return tuple(found)


def _vector(model: SimulatedModel, text: str, length: int) -> Sequence[float]:
    whole = answers.vector(model.facts.name, text, model.embedding_length)
    if length == len(whole):
        return whole
    norm = sum(number * number for number in whole[:length]) ** 0.5
    return [number / norm for number in whole[:length]]


class _Vectors:
    """The answer to an embedding request."""

    def __init__(self, path: str, ask: Ask, vectors: Sequence[Sequence[float]]) -> None:
        self._path = path
        self._family: asks.Family = ROUTES[path].family
        self._ask = ask
        self._vectors = vectors

    @property
    def whole_type(self) -> bytes:
        """Return what its API says."""
        return JSON_TYPES[self._family]

    def whole(self, text: str, ending: Ending, thought: str = "") -> bytes:
        """Return the vectors, as the route writes them."""
        del text, thought
        match self._path:
            case "/v1/embeddings":
                return openai_bodies.embedded(
                    self._ask.model, self._vectors, ending, in_base64=self._ask.base64
                )
            case "/api/embed":
                return ollama_bodies.embedded(self._ask.model, self._vectors, ending)
            case _:
                return ollama_bodies.embedding(self._vectors)

    def error(self, status: int, text: str) -> bytes:
        """Return an error in the shape of its API."""
        return ERRORS[self._family](status, text)
