"""What is to be different: read from the words of a command line, and checked against the log."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import msgspec

from events import NodeId
from herd.config import CHANGEABLE, WORDS, Value, check
from herd.errors import HerdError
from herd.node_address import NODE_NAME
from herd.simulator.profiles import PROFILES
from herd.whatif.seen import Seen

_INTEGER = re.compile(r"-?\d+")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is different from the recorded herd; nothing by default."""

    settings: dict[str, Value] = {}
    without: tuple[NodeId, ...] = ()
    slots: dict[NodeId, int] = {}
    """Requests of a model that a node serves, and is sent, at once."""
    added: dict[NodeId, str] = {}
    """New nodes, and the known node or the simulator's profile that each is like."""

    def __bool__(self) -> bool:
        """Whether anything is."""
        return bool(self.settings or self.without or self.slots or self.added)

    def words(self) -> list[str]:
        """Return what is different, for people."""
        return [
            *(f"{key} = {value}" for key, value in self.settings.items()),
            *(f"without {node_id}" for node_id in self.without),
            *(f"{node_id} with {counted(slots, 'slot')}" for node_id, slots in self.slots.items()),
            *(f"{node_id} added, like {like}" for node_id, like in self.added.items()),
        ]


NOTHING = Change()


def change(
    nodes: Mapping[NodeId, Seen],
    *,
    settings: Iterable[str] = (),
    without: Iterable[str] = (),
    slots: Iterable[str] = (),
    added: Iterable[str] = (),
) -> Change:
    """Read KEY=VALUE, NODE, NODE=N and NAME=LIKE; raises `HerdError` for what is not known."""
    new = dict(_added(nodes, text) for text in added)
    wanted = Change(
        settings=dict(_setting(text) for text in settings),
        without=tuple(dict.fromkeys(found(nodes, text) for text in without)),
        slots=dict(_slots(nodes, new, text) for text in slots),
        added=new,
    )
    if nodes and not new and len(wanted.without) == len(nodes):
        raise HerdError(
            "without any node there is nobody to answer",
            "keep one of them, or add one: --add-node NAME=LIKE",
        )
    for node_id in wanted.slots:
        if node_id in wanted.without:
            raise HerdError(
                f"--slots {node_id}={wanted.slots[node_id]}: without {node_id} it has no slots",
                "leave out --slots or --without of that node",
            )
    return wanted


def found(nodes: Mapping[NodeId, Seen], text: str) -> NodeId:
    """Return the node that is called so, or has this address."""
    if (exact := NodeId(text)) in nodes:
        return exact
    fits = [
        node_id
        for node_id, seen in nodes.items()
        if text in {seen.url, urlsplit(seen.url).hostname, urlsplit(seen.url).netloc}
    ]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise HerdError(f"{text} may be {' or '.join(sorted(fits))}", "name one of them")
    raise HerdError(f"no node {text} in the log", f"there are: {', '.join(sorted(nodes))}")


def _setting(text: str) -> tuple[str, Value]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
        raise HerdError(f"--set {text}: no value", "write --set KEY=VALUE")
    if key not in CHANGEABLE:
        raise HerdError(
            f"--set {key}: no setting that decides anything",
            f"there are: {', '.join(sorted(CHANGEABLE))}",
        )
    return key, check(key, _read(value.strip()), named=f"--set {key}")


def _read(text: str) -> Value:
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _slots(
    nodes: Mapping[NodeId, Seen], new: Mapping[NodeId, str], text: str
) -> tuple[NodeId, int]:
    name, _, value = text.rpartition("=")
    if not name or not value.isdecimal() or int(value) < 1:
        raise HerdError(f"--slots {text}: no number of slots", "write --slots NODE=N, N from 1")
    return (NodeId(name) if NodeId(name) in new else found(nodes, name)), int(value)


def _added(nodes: Mapping[NodeId, Seen], text: str) -> tuple[NodeId, str]:
    name, _, like = text.partition("=")
    if not NODE_NAME.fullmatch(name) or not like:
        raise HerdError(
            f"--add-node {text}: not a name and what it is like",
            "write --add-node NAME=LIKE, where LIKE is a node of the log or a profile: "
            f"{', '.join([*sorted(nodes), *PROFILES])}",
        )
    if NodeId(name) in nodes:
        raise HerdError(f"--add-node {name}: there is a node of that name", "choose another")
    try:
        return NodeId(name), str(found(nodes, like))
    except HerdError as error:
        if like in PROFILES:
            return NodeId(name), like
        raise HerdError(
            f"--add-node {text}: nothing is known that is called {like}",
            f"there are: {', '.join([*sorted(nodes), *PROFILES])}",
        ) from error


def counted(count: int, what: str) -> str:
    """Return "1 slot" or "2 slots"."""
    return f"{count} {what}{'s' * (count != 1)}"
