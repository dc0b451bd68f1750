"""The settings: one frozen Struct, each field with its meaning, and the one order of precedence.

Defaults < recorded changes < environment < flags. A field `some_wait_s` is read from the variable
`FLEET_SOME_WAIT`: the unit is dropped, and a few have ollama-herd's older name. `fixed` says which
fields the environment or a flag decided, so that a change recorded in the log, or asked for while
running, cannot move them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin

import msgspec

from herd.errors import HerdError
from herd.node_address import NodeAddress, parse_nodes, written
from herd.paths import DEFAULT_ROOT, DataDir
from herd.platform import default_workers

LogLevel = Literal["debug", "info", "warning", "error"]
PolicyName = Literal[
    "soonest", "resident-first", "least-connections", "round-robin", "random", "points"
]
Value: TypeAlias = bool | int | float | str
Changes: TypeAlias = dict[str, tuple[Value, Value]]
"""The old and the new value of what has changed, by name."""
Wait = Annotated[float, msgspec.Meta(gt=0, le=7 * 24 * 3600)]
"""Seconds; a wait is always bounded."""
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Moved = Annotated[float, msgspec.Meta(ge=0, le=24 * 3600)]
Aliases = Annotated[
    str, msgspec.Meta(pattern=r"^\s*([^=,\s]+=[^=,*\s]+(\s*,\s*[^=,\s]+=[^=,*\s]+)*)?\s*$")
]
"""Pairs `pattern=model`, with commas between them."""
Targets = Annotated[
    str, msgspec.Meta(pattern=r"^\s*([\w.-]+(:\d{1,5})?(\s*,\s*[\w.-]+(:\d{1,5})?)*)?\s*$")
]
"""Addresses `HOST` or `HOST:PORT`, with commas between them."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]

LARGEST_PORT = 65535


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, with its value in force."""

    host: str = ""
    """The address to listen on; all interfaces unless you say otherwise."""
    port: Annotated[int, msgspec.Meta(ge=0, le=LARGEST_PORT)] = 11435
    """The port to listen on; 0 takes any free one."""
    workers: Annotated[int, msgspec.Meta(ge=0, le=256)] = msgspec.field(
        default_factory=default_workers
    )
    """Front processes: cores minus one unless you say otherwise; 0 runs all in one process."""
    data_dir: str = DEFAULT_ROOT
    """Where the log, the keys and the files of the running herd live."""
    log_level: LogLevel = "info"
    """The least severe line that goes to the log file."""
    log_keep_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 30.0
    """Days that events are kept; totals, settings and what was learned stay."""
    log_max_bytes: Annotated[int, msgspec.Meta(gt=0)] = 5_000_000_000
    """The most that the log may take, in bytes; the oldest events go first."""
    mdns: bool = True
    """Whether the balancer advertises itself to the agents on the network."""
    local_ollama: bool = True
    """Whether an Ollama on this machine becomes a node by itself."""
    nodes: tuple[NodeAddress, ...] = ()
    """Nodes without an agent: `URL` or `URL,slots=N`, in the environment separated by spaces."""
    rules: Annotated[int, msgspec.Meta(ge=0, le=1)] = 1
    """The edition of the rules by which herd decides: each mends what the one before got wrong. A
    log is decided again by the edition that was in force."""
    hold_timeout_s: Wait = 30.0
    """How long a request waits while no node that is online has its model."""
    queue_timeout_s: Wait = 600.0
    """How long a request waits for a slot on nodes that can serve it."""
    stale_timeout_s: Wait = 600.0
    """How long a request may be in flight without any progress before it is ended."""
    front_timeout_s: Moved = 300.0
    """How long a front that is to end a request without progress may take to say how it ended,
    before it counts as ended."""
    ends_stand: bool = True
    """Whether the word of a front that a request has ended counts also where the record of how it
    was sent is lost, as on a full disk. Without, such a request ends twice in the log."""
    drain_timeout_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 4.0
    """How long requests that wait or run may take to end once herd is told to stop. All of herd
    ends at most five seconds later: what stops it has to wait for so long (Docker waits 10 s)."""
    stuck_after_s: Moved = 90.0
    """How long a process of herd may run and do nothing, not even say that it is there, until it is
    killed and started again (logd, for which nobody waits, seven times as long); 0 lets it be."""
    max_queue: Count = 512
    """Requests that may wait for one model; the next is told to come again (429)."""
    max_queue_total: Count = 4096
    """Requests that may wait in all."""
    bodies_max_bytes: Annotated[int, msgspec.Meta(ge=67_108_864)] = 536_870_912
    """What the bodies of requests that come, wait or run may take of the memory of each front, in
    bytes; the next large one is told to come again (503)."""
    max_retries: Count = 2
    """Further nodes tried after a failure before the first byte of an answer."""
    degraded_after_s: Wait = 15.0
    """Silence after which a node counts as degraded."""
    offline_after_s: Wait = 30.0
    """Silence after which a node counts as offline."""
    interactive_ahead_s: Moved = 60.0
    """An interactive request waits as if it had come so much earlier (`X-Herd-Priority`)."""
    batch_behind_s: Moved = 300.0
    """A request of a batch waits as if it had come so much later."""
    length_behind: Moved = 5.0
    """How many times as long as it takes alone a request lets those pass that come after it: short
    ones go first."""
    fair_shares: bool = True
    """Whether applications that wait for one model share it by the work they ask for."""
    shares_over_models: bool = True
    """Whether what an application gets of one model counts in the lines of the others."""
    predictions: bool = True
    """Whether waits and answers are predicted, and hopeless deadlines refused at once."""
    range_low: Share = 0.12
    """Where the range of a model's answers begins at first, as a share of what is predicted; from
    then on it is learned."""
    lengths_by_app: bool = True
    """Whether the length of an answer is predicted by who asks, as far as that is known."""
    lengths_by_size: bool = True
    """Whether the length of an answer is predicted by the size of its request, too."""
    lengths_by_last: bool = True
    """Whether the last answers to requests of its size are looked at themselves, where they were
    nearer of late."""
    streams_as_asked: bool = True
    """Whether an answer that nobody asked for as a stream tells of a node's speed as a whole,
    however its bytes came."""
    running_by_length: bool = True
    """Whether `soonest` counts what those that run lose by their own predicted lengths, and in
    full."""
    prefix_affinity: bool = True
    """Whether tokens that a node has cached count as taken in, for `soonest` and predictions."""
    planner: bool = False
    """Whether models are loaded before anybody waits for them, where that saves time."""
    translate_ollama: bool = True
    """Whether servers without Ollama's own routes (llama.cpp, vLLM, LM Studio) serve them too, in
    translation."""
    foresight: bool = True
    """Whether `soonest` counts what a model, loaded elsewhere, saves those who will ask for it."""
    patience: bool = True
    """Whether `soonest` lets a request wait until another model on its node has no more work."""
    wake_on_lan: bool = True
    """Whether nodes whose owners allow it (`herd node --wake`) are woken when they are needed."""
    make_room: bool = True
    """Whether a full line turns away its last one (of a batch, or of who asks most), not whoever
    comes."""
    empty_answers_fail: bool = True
    """Whether answers without a single token count as failures of their node: three in a row and
    it gets no requests for the model for a while."""
    stall_timeout_s: Moved = 60.0
    """How long a node may owe an answer that was due, and answer nobody else, before another node
    is asked; 0 waits for it."""
    longest_open_s: Wait = 30.0
    """How long a node gets no requests for a model that it keeps failing, before one may try."""
    slow_times: Moved = 5.0
    """How many times as long as usual a token has to take, in three answers in a row, until the
    node is asked last for that model, and `soonest` reckons with its new pace; 0 is never."""
    refused_for_s: Moved = 21600.0
    """How long at most a node is asked last for a model that it had no memory for, unless its
    memory or the model changes; 0 asks it as before."""
    context_protection: Literal["strip", "warn", "passthrough"] = "strip"
    """A `num_ctx` that would reload a model: replaced by what it has, warned of, or left alone. Who
    names none is given what the model has, if that is more than its node takes by itself."""
    fallback_models: bool = True
    """Whether the models that a body names in `fallback_models` may serve it."""
    vram_fallback: bool = True
    """Whether an alike model in memory serves, if loading the one asked for takes 10 s longer: of
    the same kind, at most four times smaller or larger, and only while the one asked for is asked
    for less than once in two minutes."""
    anthropic_fallback: bool = True
    """Whether a `claude-*` that no node has is served by the best model in memory."""
    model_aliases: Aliases = ""
    """Names that stand for models: `gpt-4*=llama3.3:70b,tiny=llama3.2:1b`."""
    policy: PolicyName = "soonest"
    """How a node is chosen; the others are there to compare with."""
    auto_pull: bool = False
    """Whether a model that no node of the fleet has is pulled when somebody asks for it."""
    cloud_names: bool = True
    """Whether a name of Ollama's cloud (`x:cloud`, `x-cloud`) that no node lists is pulled when
    somebody asks for it, by a node that lists others: only the name, its weights are elsewhere."""
    auto_pull_timeout_s: Wait = 300.0
    """How long such a request is held; the pull goes on after that."""
    auto_pull_max_bytes: Annotated[int, msgspec.Meta(gt=0)] = 20_000_000_000
    """The largest model that is pulled so; what turns out to be larger is ended."""
    join: Literal["open", "token", "ask"] = "open"
    """How nodes with an agent join: all of this network, those with the token, those approved."""
    allow_unsigned_nodes: bool = True
    """Whether agents that do not sign may speak for names that no key has claimed, if all may."""
    tls_cert: str = ""
    """A file with the certificate that clients are shown (https); without one herd speaks http."""
    tls_key: str = ""
    """The file with its key, if that is another one."""
    ca_file: str = ""
    """A file with certificates that are believed beside the system's, of `https://` nodes."""
    wake_to: Targets = ""
    """Where packets that wake nodes go, beside this machine's networks, like `10.1.255.255:9`."""
    trusted_networks: str = ""
    """Networks that may use this herd beside private ones and its own, like `203.0.113.0/24`."""
    trusted_proxies: str = ""
    """Addresses of reverse proxies whose `X-Forwarded-For` or `Forwarded` says who asks, like
    `127.0.0.1 192.168.1.2`; from anybody else both are not believed."""
    allowed_hosts: str = ""
    """Names that clients may call this machine by, beside its own and those of private networks."""
    keyless: Literal["auto", "local", "never"] = "auto"
    """Who is served without an API key: local peers until there is a key, always, or nobody."""
    public_peers: bool = True
    """Whether peers of other networks are served, if they show an API key."""
    cors_origins: str = ""
    """Origins of pages that may ask, like `https://chat.example`; `*` for all."""
    fixed: dict[str, str] = {}
    """What decided a field, where that was a variable or a flag: `{"port": "--port"}`."""

    @property
    def directory(self) -> DataDir:
        """The data directory's paths."""
        return DataDir(Path(self.data_dir))

    def recorded(self, changes: Mapping[str, Value]) -> "Settings":
        """Return the settings with the changes that the log remembers, where nothing fixed them."""
        known = {key: value for key, value in changes.items() if key in CHANGEABLE}
        free = {key: value for key, value in known.items() if key not in self.fixed}
        return msgspec.structs.replace(
            self, **{key: check(key, value, named=key) for key, value in free.items()}
        )

    def flat(self) -> dict[str, Value]:
        """Return every value in force, as the log records it."""
        pairs = {name: getattr(self, name) for name in FIELDS if name != "nodes"}
        return pairs | {"nodes": " ".join(written(node) for node in self.nodes)}


FIELDS = tuple(field for field in Settings.__struct_fields__ if field != "fixed")

CHANGEABLE = frozenset(
    {
        "rules",
        "hold_timeout_s",
        "queue_timeout_s",
        "stale_timeout_s",
        "front_timeout_s",
        "ends_stand",
        "max_queue",
        "max_queue_total",
        "max_retries",
        "degraded_after_s",
        "offline_after_s",
        "interactive_ahead_s",
        "batch_behind_s",
        "length_behind",
        "fair_shares",
        "shares_over_models",
        "predictions",
        "range_low",
        "make_room",
        "empty_answers_fail",
        "stall_timeout_s",
        "longest_open_s",
        "slow_times",
        "refused_for_s",
        "context_protection",
        "fallback_models",
        "vram_fallback",
        "anthropic_fallback",
        "model_aliases",
        "lengths_by_app",
        "lengths_by_last",
        "lengths_by_size",
        "streams_as_asked",
        "running_by_length",
        "prefix_affinity",
        "planner",
        "translate_ollama",
        "foresight",
        "patience",
        "wake_on_lan",
        "policy",
        "auto_pull",
        "cloud_names",
        "auto_pull_timeout_s",
        "auto_pull_max_bytes",
    }
)
"""Fields that can change while herd runs; a change is recorded, and holds after a restart."""

_OLDER_NAMES = {
    "degraded_after_s": "FLEET_HEARTBEAT_TIMEOUT",
    "offline_after_s": "FLEET_HEARTBEAT_OFFLINE",
}
_FLAGS = {"nodes": "--node", "mdns": "--no-mdns", "drain_timeout_s": "--drain-timeout"}
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Settings)}
WORDS = {"true": True, "false": False, "on": True, "yes": True, "off": False, "no": False}


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return _OLDER_NAMES.get(field, f"FLEET_{field.removesuffix('_s').upper()}")


def load(flags: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> Settings:
    """Put the settings together; `flags` holds only what was given on the command line."""
    values: dict[str, Any] = {}
    fixed: dict[str, str] = {}
    for field in FIELDS:
        name = variable(field)
        if environment.get(name, "") != "":
            values[field] = _from_text(field, environment[name], named=name)
            fixed[field] = name
    for field, given in flags.items():
        named = _FLAGS.get(field, f"--{field.replace('_', '-')}")
        values[field] = check(field, given, named=named)
        fixed[field] = named
    settings = Settings(**values, fixed=fixed)
    if settings.degraded_after_s > settings.offline_after_s:
        raise HerdError(
            f"a node cannot be offline ({settings.offline_after_s:g} s) before it is degraded "
            f"({settings.degraded_after_s:g} s)",
            f"set {variable('offline_after_s')} above {variable('degraded_after_s')}",
        )
    return settings


def check(field: str, value: object, *, named: str) -> Any:  # noqa: ANN401 (of the field's type)
    """Return a value of the field's own type, or raise naming who gave it."""
    try:
        return msgspec.convert(value, _TYPES[field])
    except msgspec.ValidationError as error:
        raise _refused(field, value, named, error) from error


def _from_text(field: str, text: str, *, named: str) -> object:
    """Read a variable: text, made what the field wants."""
    if field == "nodes":
        return parse_nodes(text.split(), named=named)
    given: object = text
    if _TYPES[field] is bool:
        given = WORDS.get(text.lower(), text)
    try:
        return msgspec.convert(given, _TYPES[field], strict=False)
    except msgspec.ValidationError as error:
        raise _refused(field, text, named, error) from error


def _refused(field: str, value: object, named: str, error: Exception) -> HerdError:
    words: tuple[str, ...] = ("on", "off") if _TYPES[field] is bool else ()
    if get_origin(_TYPES[field]) is Literal:
        words = get_args(_TYPES[field])
    next_step = f"write one of: {', '.join(words)}" if words else ""
    return HerdError(f"{named} cannot be {value!r}: {error}", next_step)
