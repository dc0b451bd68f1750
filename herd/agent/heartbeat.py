"""The agent's life: find a balancer, tell it every 5 s what this node can do, drain at the end.

A heartbeat goes out every 5 s counted from the start of the last, whether Ollama answers or not:
a dead Ollama under a live agent is news. What is in memory and on disk is asked each time, so that
no heartbeat takes back what the balancer has seen come or go. One line is said for each change, and
none for a heartbeat.
"""

import asyncio
import contextlib
from urllib.parse import urlsplit

import msgspec

from events import Limits, ModelFacts, NodeFacts, ResidentModel
from herd.agent.cards import AUTO, Wake, cards
from herd.agent.facts import is_loopback, load, with_disk
from herd.agent.gpus import Cards
from herd.agent.keypair import Keypair
from herd.agent.owner import Lend
from herd.agent.payload import build_heartbeat
from herd.agent.search import Say, Search, first_that_answers
from herd.agent.tunnel import Tunnel
from herd.clock import wall_s
from herd.http.client import FetchError, Response, fetch
from herd.interfaces import address_towards, card_of
from herd.survey import Kind, Survey, survey

OK, REDIRECTED, UNAUTHORIZED, FORBIDDEN = 200, 300, 401, 403
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Who the agent speaks for, to whom, and how often."""

    node_id: str
    ollama_url: str
    router_url: str = ""
    """Empty: found on the network."""
    interval_s: float = 5.0
    timeout_s: float = 4.0
    """For the balancer's answer to a heartbeat."""
    ollama_timeout_s: float = 2.0
    models_s: float = 4.0
    """Between two looks at the disk: as good as each time, as models come and go through herd."""
    browse_s: float = 10.0
    moved_s: float = 2.0
    """How long a balancer that was found, and does not answer, is looked for elsewhere."""
    lost_after: int = 2
    """Heartbeats in a row without an answer until the balancer counts as lost."""
    wake: Wake = ()
    """By which hardware addresses the machine may be woken."""
    relay: bool | None = None
    """Whether the balancer gets to Ollama by the agent; None: where it cannot otherwise."""
    drain_s: float = 30.0
    drain_poll_s: float = 0.3


class _Running(msgspec.Struct, gc=False):
    """A queue in `/fleet/status`."""

    node_id: str = ""
    in_flight: int = 0


class _Status(msgspec.Struct, gc=False):
    queues: dict[str, _Running] = {}


class _Taken(msgspec.Struct, gc=False):
    """What the balancer answers to a heartbeat."""

    in_flight: int = 0


class _Refusal(msgspec.Struct, gc=False):
    error: str = ""
    detail: str = ""
    challenge: str = ""
    after: int = 0
    other_key: bool = False


class Agent:
    """Speaks for one Ollama."""

    def __init__(  # noqa: PLR0913 (what an agent is made of)
        self,
        terms: Terms,
        machine: NodeFacts,
        search: Search,
        say: Say,
        lend: Lend = Limits,
        *,
        keys: Keypair | None = None,
    ) -> None:
        """Speak on these terms, of this machine and what its owner lends; signed, with keys."""
        self._terms = terms
        self._started_s = wall_s()
        self._keys = keys
        self._lend = lend
        self._limits = Limits()
        self._tunnel = Tunnel(terms.node_id, terms.ollama_url, keys, say, wanted=terms.relay)
        self._gpus = Cards()
        self._machine = machine
        self._search = search
        self._say = say
        # The balancer, as it last answered.
        self._router = ""
        self._own_address = ""
        """This machine's, on the way to the balancer."""
        self._macs: tuple[str, ...] = ()
        self._carded: str | None = None
        """The address whose card was looked for."""
        self._connected = False
        self._refused = ""
        self._missed = 0
        self._running = 0
        """Requests at this node, by the balancer's last answer."""
        # Ollama, as it last answered.
        self._kind: Kind = ""
        self._reachable: bool | None = None
        self._facts = machine
        self._resident: tuple[ResidentModel, ...] = ()
        self._models: tuple[ModelFacts, ...] = ()
        self._models_at = float("-inf")
        self._missing: set[str] = set()
        """In memory, but not on disk when that was last looked at: deleted under its user."""

    async def run(self) -> None:
        """Speak until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._look_for_balancer()
            if self._router:
                await self._look()
                await self._beat(draining=False)
            await asyncio.sleep(max(0.0, began + self._terms.interval_s - loop.time()))

    async def drain(self) -> None:
        """Say that no new work may come, and wait until none runs, or for 30 s."""
        try:
            await self._drained()
        finally:
            self._tunnel.close()

    async def _drained(self) -> None:
        if not self._connected or not await self._beat(draining=True):
            return
        terms, loop = self._terms, asyncio.get_running_loop()
        began = told = loop.time()
        idle = running = 0
        while idle < 2 and loop.time() - began < terms.drain_s:  # noqa: PLR2004 (one may be on its way)
            try:
                now_running = await self._in_flight()
            except FetchError as error:
                self._say(f"the balancer has gone: {error.text}")
                return
            if now_running and not running:
                self._say(f"draining: {now_running} running, no new work; again to stop at once")
            running, idle = now_running, 0 if now_running else idle + 1
            if loop.time() - told >= terms.interval_s:
                told = loop.time()
                await self._beat(draining=True)
            await asyncio.sleep(terms.drain_poll_s)
        self._say(f"left with {running} still running" if running else "drained")

    async def _look_for_balancer(self) -> None:
        if self._connected or (self._router and not self._terms.router_url):
            return
        if given := self._terms.router_url:
            self._router = await first_that_answers((given,)) or given
        else:
            self._router = await self._search.find(self._terms.browse_s)

    # Ollama's side

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        due = now >= self._models_at + self._terms.models_s or not self._reachable
        found = await self._survey(want_models=due)
        if found.models is None and self._strangers(found) - self._missing:
            found = await self._survey(want_models=True)
        self._kind = found.kind
        self._heard(found)
        if found.models is not None:
            self._models, self._models_at = found.models, now
        if found.facts is not None:
            self._facts = _joined(self._machine, found.facts)
        if found.resident is not None or not found.reachable:
            self._resident = found.resident or ()
        self._missing = self._strangers(found)

    def _strangers(self, found: Survey) -> set[str]:
        """Return what is in memory but not on disk, as far as is known."""
        known = {model.name for model in self._models}
        return {model.name for model in found.resident or ()} - known

    async def _survey(self, *, want_models: bool) -> Survey:
        found = await survey(
            self._terms.ollama_url,
            want_models=want_models,
            kind=self._kind,
            timeout_s=self._terms.ollama_timeout_s,
        )
        if found.is_herd:  # it would be a node of its own, and each request go round for ever
            return Survey(reachable=False, error="a balancer answers there (see OLLAMA_HOST)")
        return found

    def _heard(self, found: Survey) -> None:
        if found.reachable == self._reachable:
            return
        url, first = self._terms.ollama_url, self._reachable is None
        self._reachable = found.reachable
        if not found.reachable:
            self._say(f"no Ollama at {url}: {found.error}; start it, or name it with --ollama-host")
        elif not first:
            self._say(f"Ollama at {url} answers again")

    # The balancer's side

    async def _beat(self, *, draining: bool) -> bool:
        """Tell the balancer; return whether it took the heartbeat."""
        cpu, memory = load()
        parts = urlsplit(self._router)
        self._own_address = await asyncio.to_thread(
            address_towards, parts.hostname or "", parts.port or 80
        )
        await self._tunnel.look(self._own_address, reachable=self._reachable is True)
        await self._find_card()
        await self._ask_owner()
        body = build_heartbeat(
            node_id=self._terms.node_id,
            ollama_host=self._terms.ollama_url,
            lan_ip=self._own_address,
            facts=self._with_disk(),
            cpu=cpu,
            memory=memory,
            resident=self._resident,
            models=self._models,
            reachable=self._reachable is True,
            draining=draining,
            timestamp_s=wall_s(),
            limits=self._limits,
            relay=self._tunnel.relays,
            started_s=self._started_s,
            gpus=await asyncio.to_thread(self._gpus.read) if self._ollama_is_here() else (),
        )
        try:
            answer = await self._post(body)
            if answer.status == UNAUTHORIZED and self._heard_challenge(answer):
                answer = await self._post(body)
        except FetchError as error:
            self._no_answer(error)
            if self._connected and not draining:
                await self._follow()
            return False
        self._missed = 0
        if (taken := _taken(answer)) is None:
            self._refusal(answer)
            return False
        self._refused = ""
        self._running = taken.in_flight
        if self._keys is not None and self._keys.taken():
            self._say("the new key of this node is in use")
        if not self._connected:
            self._connected = True
            self._say(f"connected to the balancer {self._name()}{self._router}")
        self._tunnel.follow(self._router)
        return True

    async def _post(self, body: bytes) -> Response:
        headers = [(b"Content-Type", b"application/json")]
        if self._keys is not None:
            headers += self._keys.headers(self._terms.node_id, body)
        return await fetch(
            "POST",
            f"{self._router}/heartbeat",
            headers=headers,
            body=body,
            timeout_s=self._terms.timeout_s,
        )

    def _heard_challenge(self, answer: Response) -> bool:
        """Take the challenge that the balancer wants to have signed, if there is one."""
        refusal = _refusal(answer)
        if self._keys is None or not refusal.challenge:
            return False
        self._keys.challenged(refusal.challenge, refusal.after)
        return True

    async def _find_card(self) -> None:
        own, wake = self._own_address, self._terms.wake
        if wake != AUTO:
            self._macs = wake
        elif own != self._carded:
            self._carded = own
            self._macs = cards([await asyncio.to_thread(card_of, own)])
            if not self._macs:
                self._say(f"no network card has the address {own}: name one with --wake MAC")

    async def _ask_owner(self) -> None:
        lent = await asyncio.to_thread(self._lend)
        was, self._limits = self._limits, msgspec.structs.replace(lent, macs=self._macs)
        if (reason := self._limits.paused) != was.paused:
            self._say(f"paused: {reason}" if reason else "takes work again")

    def _with_disk(self) -> NodeFacts:
        """Return the facts with this machine's disk, if the models are on it."""
        return with_disk(self._facts) if self._ollama_is_here() else self._facts

    def _ollama_is_here(self) -> bool:
        return is_loopback(urlsplit(self._terms.ollama_url).hostname or "")

    def _name(self) -> str:
        return f"{self._search.name} at " if self._search.name else ""

    def _refusal(self, answer: Response) -> None:
        self._connected = False
        if answer.status == FORBIDDEN:  # another agent may speak for the node, and relay
            self._tunnel.pause()
        refusal, what = _refusal(answer), f"the balancer at {self._router} refuses this node: "
        reason = refusal.error or refusal.detail
        if not reason:  # a web server, the page of a router: not what was meant
            what = f"what answers at {self._router} is no balancer; name one with --router-url: "
            reason = answer.body[:200].decode("utf-8", "replace").strip()
        if (said := f"{what}{answer.status} {reason}".strip()) != self._refused:
            self._refused = said
            self._say(said)
        if self._keys is not None and refusal.other_key and self._keys.not_known():
            self._say("trying the next key of this node, which was not yet in use")

    def _no_answer(self, error: FetchError) -> None:
        self._missed += 1
        if self._missed == (self._terms.lost_after if self._connected else 1):
            self._connected = False
            self._say(f"no balancer at {self._router}: {error.text}; trying again")
        if self._missed >= self._terms.lost_after and not self._terms.router_url:
            self._router = ""  # look for it again

    async def _follow(self) -> None:
        """Go to where the balancer is now, if it was found on the network and is found there."""
        if self._terms.router_url:
            return
        moved = await self._search.moved(self._terms.moved_s)
        if moved and moved != self._router:
            self._connected, self._router = False, moved

    async def _in_flight(self) -> int:
        """Ask what still runs here; a fleet that shows itself to nobody tells its agents."""
        answer = await fetch("GET", f"{self._router}/fleet/status", timeout_s=self._terms.timeout_s)
        if answer.status == UNAUTHORIZED:
            if not await self._beat(draining=True):
                raise FetchError("body", "it takes no word of this node any more")
            return self._running
        try:
            status = msgspec.json.decode(answer.body, type=_Status, strict=False)
        except MALFORMED as error:
            raise FetchError("body", f"its status cannot be read: {error}") from error
        return sum(
            queue.in_flight
            for queue in status.queues.values()
            if queue.node_id == self._terms.node_id
        )


def _joined(machine: NodeFacts, server: NodeFacts) -> NodeFacts:
    """Return what the machine is, with what its server says of itself."""
    return msgspec.structs.replace(
        machine,
        dialect=server.dialect,
        version=server.version,
        slots=server.slots or machine.slots,
    )


def _taken(answer: Response) -> _Taken | None:
    """Return what a balancer that took a heartbeat says; None for any other answer."""
    if OK <= answer.status < REDIRECTED:
        with contextlib.suppress(*MALFORMED):
            return msgspec.json.decode(answer.body, type=_Taken)
    return None


def _refusal(answer: Response) -> _Refusal:
    with contextlib.suppress(*MALFORMED):
        return msgspec.json.decode(answer.body, type=_Refusal)
    return _Refusal()
