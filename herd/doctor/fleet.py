"""The balancer that runs, and its nodes as they are seen from here."""

import asyncio
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import msgspec

from herd import config
from herd.clock import wall_s
from herd.doctor.beside import unreachable
from herd.doctor.finding import Finding, bad, good, note
from herd.http.client import FetchError, Response, fetch
from herd.http.detour import SCHEME
from herd.node_address import parse_nodes
from herd.survey import survey

PATIENCE_S: Final = 5.0
SKEW_S: Final = 30.0
"""More than this confuses who reads two logs, and certificates that are new."""
OK: Final = 200

T = TypeVar("T")


class Node(msgspec.Struct):
    """A node, as `/fleet/status` has it."""

    node_id: str
    status: str
    ollama_url: str = ""


class Status(msgspec.Struct):
    """`/fleet/status`."""

    nodes: list[Node]


class Advice(msgspec.Struct):
    """A finding of the health page."""

    title: str
    severity: str
    description: str = ""
    fix: str = ""


class Health(msgspec.Struct):
    """`/dashboard/api/health`."""

    recommendations: list[Advice] = []


class Ready(msgspec.Struct):
    """`/readyz`."""

    recording: bool


class Setting(msgspec.Struct):
    """A setting in force."""

    key: str
    value: object


class Told(msgspec.Struct):
    """`/dashboard/api/settings`."""

    settings: list[Setting] = []


async def balancer(url: str) -> list[Finding]:
    """Whether it answers and records, what it says of itself, and of its nodes."""
    try:
        answer = await fetch("GET", f"{url}/readyz", timeout_s=PATIENCE_S)
    except FetchError as error:
        return [bad("balancer", f"{url} does not answer: {error.text}", "start it with `herd`")]
    told = [ready(url, answer)]
    status = await _page(f"{url}/fleet/status", Status)
    health = await _page(f"{url}/dashboard/api/health", Health)
    if status is not None:
        told += await _nodes(status.nodes)
    if health is None:
        told.append(note("log", "the health page does not answer: logd may be starting"))
    else:
        told += [_advised(each) for each in health.recommendations if each.severity != "info"]
    return told


def ready(url: str, answer: Response) -> Finding:
    """Return what a balancer's `/readyz` says."""
    said = answer.body[:200].decode("utf-8", "replace").strip()
    told = _read(answer, Ready)
    if told is None:
        return bad(
            "balancer",
            f"what answers at {url} is no herd ({answer.status}): {said}",
            "name the balancer: --router-url http://HOST:11435",
        )
    if answer.status != OK:
        text = f"{url} is not ready ({answer.status}): {said}"
        return bad("balancer", text, "see logs/herd.jsonl")
    if not told.recording:
        return bad(
            "balancer",
            f"{url} answers, and records nothing",
            "see logs/herd.jsonl on its machine: its disk may be full or read-only",
        )
    return good("balancer", f"{url} answers, and records what it does")


async def started(url: str, settings: config.Settings) -> config.Settings:
    """Return settings with what the balancer that runs was started with; ours if it does not say.

    That is where it listens, whether it advertises itself, and whom it believes.
    """
    page = await _page(f"{url}/dashboard/api/settings", Told)
    if page is None:
        return settings
    told = {row.key: row.value for row in page.settings}
    nodes, ca_file = told.get("nodes"), told.get("ca_file")
    host, port = told.get("host"), told.get("port")
    return msgspec.structs.replace(
        settings,
        host=host if isinstance(host, str) else settings.host,
        port=port if isinstance(port, int) else settings.port,
        mdns=told.get("mdns") is True,
        ca_file=ca_file if isinstance(ca_file, str) else settings.ca_file,
        nodes=parse_nodes(nodes.split()) if isinstance(nodes, str) else settings.nodes,
    )


async def _page(url: str, form: type[T]) -> T | None:
    try:
        answer = await fetch("GET", url, timeout_s=PATIENCE_S)
    except FetchError:
        return None
    return _read(answer, form) if answer.status == OK else None


def _read(answer: Response, form: type[T]) -> T | None:
    try:
        return msgspec.json.decode(answer.body, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


async def _nodes(nodes: list[Node]) -> list[Finding]:
    if not nodes:
        return [
            bad(
                "nodes",
                "there is none",
                "run `herd node` on a machine with Ollama, or `herd run --node http://HOST:11434`",
            )
        ]
    found = await asyncio.gather(*(_node(each) for each in nodes))
    return [finding for each in found for finding in each]


async def _node(node: Node) -> list[Finding]:
    if node.status == "sleeping":
        return [good(f"node {node.node_id}", "sleeps, and is woken when it is needed")]
    if node.status == "offline":
        return [
            bad(
                f"node {node.node_id}",
                f"offline; last known at {node.ollama_url or 'no address'}",
                "look whether that machine runs, and Ollama and its `herd node` there",
            )
        ]
    seen = await survey(node.ollama_url, want_models=False)
    if not seen.reachable and node.ollama_url.startswith(f"{SCHEME}:"):
        text = f"{node.status}; its agent relays for it, and that is not to be seen from here"
        return [note(f"node {node.node_id}", text)]
    if not seen.reachable:
        return [unreachable(node.ollama_url, seen.error)]
    told = [good(f"node {node.node_id}", f"{node.status}, answers at {node.ollama_url}")]
    if (skew_s := await _skew_s(node.ollama_url)) is not None and abs(skew_s) > SKEW_S:
        told.append(
            bad(
                f"node {node.node_id}",
                f"its clock is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}",
                "set its clock by the network (NTP)",
            )
        )
    return told


async def _skew_s(url: str) -> float | None:
    try:
        answer = await fetch("GET", url, timeout_s=PATIENCE_S)
    except FetchError:
        return None
    return skew_s(answer, wall_s())


def skew_s(answer: Response, now_s: float) -> float | None:
    """Return how far a node's clock is ahead, by the `Date` of an answer; None without one."""
    try:
        told = parsedate_to_datetime(answer.header(b"date").decode("latin-1"))
    except ValueError:
        return None
    return told.timestamp() - now_s


def _advised(each: Advice) -> Finding:
    return Finding("health", "bad" if each.severity == "critical" else "note", each.title, each.fix)
