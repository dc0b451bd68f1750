"""Control: one process's run queue, journal, links, prober and timers, in start order."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket

from msgspec.structs import replace

from actors.core.state import State
from events import (
    ActorFailed,
    ConfigurationLoaded,
    ControlStarted,
    ControlStopped,
    Event,
    FrontConnected,
    FrontLost,
    Gpu,
    HeartbeatReceived,
    LoadPlanned,
    NodeConfigured,
    NodeDegraded,
    NodeDiscovered,
    NodeForgotten,
    NodeId,
    NodeMoved,
    Recorded,
    RecoveryEnded,
    RequestDispatched,
    SettingsChanged,
    Source,
    TimerFired,
    WakePlanned,
)
from herd import admin_token
from herd.agent.identity import default_node_id
from herd.clock import Clock
from herd.config import Changes, Settings
from herd.control.advertising import advertising
from herd.control.away import Away
from herd.control.benchmarks import HEARS as BENCHMARKS_HEARS
from herd.control.benchmarks import Benchmarks
from herd.control.engine import Engine
from herd.control.loader import Loader
from herd.control.pulls import HEARS as PULLS_HEARS
from herd.control.pulls import Pulls
from herd.control.restore import restore
from herd.control.view import view_of
from herd.control.waker import Waker
from herd.errors import HerdError
from herd.journal.segments import Journal, Limits
from herd.link.messages import View
from herd.link.presence import sweep
from herd.link.server import LinkServer
from herd.node_address import NodeAddress
from herd.probe import Pace, Prober
from herd.processes.run_file import local_url
from herd.tasks import spawn
from herd.version import version

_log = logging.getLogger("herd.control")

TIMER_S = 0.25
SLEPT_S = 2.0
"""A timer so late means that this process was stopped; as long as fronts take to say how it is."""
VIEW_S = 0.1
SEGMENTS = 16
"""Full ones that the journal may always hold: those that logd keeps, and is sealing."""
FRONTS_WAIT_S = 2.0
"""How long grants wait for fronts that have not yet said what they carry: they come at once unless
they died too or the machine is busy."""
LOOK_S = 0.1
"""Between two looks at who lives, meanwhile."""
HEARS: tuple[type[Event], ...] = (
    NodeDiscovered,
    NodeMoved,
    NodeForgotten,
    NodeDegraded,
    FrontConnected,
    ActorFailed,
    SettingsChanged,
    RequestDispatched,
)


class Control:
    """Everything that decides, on the loop it was made on."""

    def __init__(self, settings: Settings) -> None:
        """Recover the log, and continue it in a new epoch."""
        directory = settings.directory
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        journal = Journal.open(directory.journal, directory.snapshots, _limits(settings))
        state = restore(directory)
        fronts = {request.src for request in state.requests.values()}.union(state.fronts)
        self._away = Away(directory.sockets, fronts, self._is_here)
        self._settings = _with_changes(settings, state)
        state.seq = max(state.seq, journal.last_seq)
        clock = Clock(not_before_us=max(state.recorded_at, journal.last_recorded_at))
        self._epoch = state.epoch + 1
        self._engine = Engine(state, journal, clock, directory)
        last_n = {src: front.last_n for src, front in state.fronts.items()}
        self._link = LinkServer(
            self._epoch, last_n, self._put, next_seq=state.seq + 1, missed=self._missed
        )
        self._engine.link = self._link
        self._engine.observe(self._recorded, HEARS)
        self._engine.observe(self._planned, (LoadPlanned,))
        self._prober = Prober(self._put, _pace(self._settings))
        self._loader = Loader(self._put)
        self._waker = Waker(self._settings.wake_to)
        self._engine.observe(self._woken, (WakePlanned,))
        self._pulls = Pulls(self._put, self._url_of, self._prober.look_at)
        self._engine.observe(self._pulls.recorded, PULLS_HEARS)
        here = local_url(
            self._settings.host, self._settings.port, secure=bool(self._settings.tls_cert)
        )
        self._benchmarks = Benchmarks(self._put, here, self._changed, admin_token.read(directory))
        self._engine.observe(self._benchmarks.recorded, BENCHMARKS_HEARS)
        self._challenge = secrets.token_hex(16)
        self._counters: dict[tuple[NodeId, str], int] = {}
        """Of the last heartbeat that each key has signed for its node: none comes twice."""
        self._gpus: dict[NodeId, tuple[Gpu, ...]] = {}
        self._greeted = 0
        """`seq` of the last front's word on what it carries."""
        self._came = asyncio.Event()
        """A front has said what it carries."""
        self._advertising: asyncio.Task[None] | None = None
        self._recovered = False
        self._shown_seq = -1
        """Of the last record when the fronts were given a view."""
        self._stopping = False
        self._timer_due_s = 0.0
        self._awake_s = 0.0

    async def start(self) -> None:
        """Begin the epoch, watch the nodes, take fronts."""
        self._engine.start()
        self._put(ControlStarted(epoch=self._epoch, version=version(), pid=os.getpid()))
        self._put(ConfigurationLoaded(settings=self._settings.flat()))
        for node in self._engine.state.nodes.values():
            self._watch(node.node_id, node.url, agentless=node.origin != "agent")
        for address in self._settings.nodes:
            self._put(_configured(address))
        self._timer_due_s = self._loop.time() + TIMER_S
        self._loop.call_at(self._timer_due_s, self._timer)
        self._show()  # no front shall believe that there are no keys
        if self._settings.mdns:
            self._advertising = spawn(advertising(self._settings), name="mdns")

    async def listen(self) -> None:
        """Take fronts of other processes."""
        sweep(self._settings.directory.sockets)
        await self._link.listen(self._settings.directory.control_socket)

    async def adopt(self, sock: socket.socket) -> None:
        """Take the front of this process."""
        await self._link.adopt(sock)

    async def recover(self, fronts: int) -> None:
        """Let grants begin, once that many fronts are here or have had their time.

        Those of before that live are waited for, too; what one carries that does not come in time
        goes on until it comes, or ends.
        """
        until_s = self._loop.time() + FRONTS_WAIT_S
        self._awake_s = until_s  # what has ended meanwhile is told first, then silence is judged
        while not self._all_here(fronts) and self._loop.time() < until_s:
            self._came.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), LOOK_S)
        self._end_recovery(self._loop.time() - self._started)
        self._recovered = True
        if self._awake_s == until_s:
            self._awake_s = 0.0

    def _all_here(self, fronts: int) -> bool:
        if self._engine.state.epoch != self._epoch:
            return False
        return self._connected() >= fronts and not self._away.still()

    def _is_here(self, src: Source) -> bool:
        front = self._engine.state.fronts.get(src)
        return front is not None and front.connected and self._link.holds(src)

    def _missed(self, src: Source) -> bool:
        """Wait for a front that lives, though its link broke; return whether it does.

        Its lock ends with it, maybe a moment after its link.
        """
        waits = not self._stopping and self._away.waits_for(src)
        if waits:
            self._loop.call_later(LOOK_S, self._look_for_fronts)
        return waits

    def _end_recovery(self, waited_s: float = 0.0) -> None:
        awaited = self._away.still()
        self._put(RecoveryEnded(fronts=self._connected(), waited_s=waited_s, awaited=awaited))

    def _look_for_fronts(self) -> None:
        """Tell of fronts that were waited for and have ended."""
        for src in self._away.ended() if self._recovered and not self._stopping else ():
            self._put(FrontLost(front_src=src))

    async def fronts_left(self, within_s: float) -> None:
        """Wait for the fronts, whose last facts belong in the journal; at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._link.alone(), within_s)

    def change(self, settings: Settings) -> Changes:
        """Take settings that were read again; return what has changed by that."""
        before = _with_changes(self._settings, self._engine.state).flat()
        now = _with_changes(settings, self._engine.state)
        after = now.flat()
        self._settings = settings
        changed = {key: (before[key], new) for key, new in after.items() if new != before[key]}
        if changed:
            self._put(ConfigurationLoaded(settings=after))
            self._prober.pace(_pace(now))
        for address in now.nodes if "nodes" in changed else ():
            self._put(_configured(address))
        return changed

    async def stop(self) -> None:
        """Write what is left, leave the fronts, then the nodes and the network."""
        self._stopping = True
        self._put(ControlStopped(reason="asked to stop"))
        self._engine.finish()
        self._link.close()
        await self._pulls.close()
        await self._benchmarks.close()
        await self._prober.close()
        await self._loader.close()
        await self._waker.close()
        if self._advertising is not None:
            self._advertising.cancel()
            await asyncio.wait((self._advertising,))

    def _connected(self) -> int:
        return sum(front.connected for front in self._engine.state.fronts.values())

    def _put(self, event: Event, src: Source | None = None, n: int = 0) -> None:
        if isinstance(event, HeartbeatReceived):
            if not self._hears(event):
                return
            self._prober.heartbeat(event.node_id)
            event = self._gauged(event)
        if src is None:
            self._engine.put(event)
        else:
            self._engine.put(event, src, n)

    def _gauged(self, event: HeartbeatReceived) -> HeartbeatReceived:
        """Keep how a node's cards are, to be shown, and leave it out of the log."""
        if event.gpus != self._gpus.get(event.node_id, ()):
            self._gpus[event.node_id] = event.gpus
            self._changed()
        return replace(event, gpus=()) if event.gpus else event

    def _hears(self, event: HeartbeatReceived) -> bool:
        """Whether a heartbeat counts: by the key that speaks for its node, and not heard before."""
        if not self._engine.state.door.hears(event):
            return False
        if event.counter:
            signer = (event.node_id, event.node_key)
            if event.counter <= self._counters.get(signer, 0):
                return False
            self._counters[signer] = event.counter
        return True

    def _recorded(self, record: Recorded) -> None:
        match record.event:
            case NodeDiscovered(node_id=node_id, url=url, origin=origin):
                self._watch(node_id, url, agentless=origin != "agent")
            case NodeMoved():
                self._moved(record.event)
            case NodeForgotten(node_id=node_id):
                self._prober.forget(node_id)
                self._gpus.pop(node_id, None)
            case NodeDegraded(node_id=node_id):
                self._prober.refresh(node_id)
            case FrontConnected():
                self._greeted = record.seq
                self._came.set()
            case ActorFailed(failed_seq=seq, front_src=src) if seq == self._greeted:
                self._link.cut(src)  # it comes again, with all that it carries
            case SettingsChanged():
                self._prober.pace(_pace(_with_changes(self._settings, self._engine.state)))
            case RequestDispatched(node_id=node_id, cold=True):
                self._prober.expect_load(node_id)
            case _:
                pass

    def _moved(self, event: NodeMoved) -> None:
        node = self._engine.state.nodes.get(event.node_id)  # it may be forgotten already
        if node is not None:
            self._watch(event.node_id, event.url, agentless=node.origin != "agent")

    def _planned(self, record: Recorded) -> None:
        """Begin a load that was decided."""
        if isinstance(record.event, LoadPlanned):
            node = self._engine.state.nodes.get(record.event.node_id)
            if node is not None:
                self._loader.start(record.event, node)
                self._prober.expect_load(node.node_id)

    def _woken(self, record: Recorded) -> None:
        """Wake a node, as was decided."""
        if isinstance(record.event, WakePlanned):
            node = self._engine.state.nodes.get(record.event.node_id)
            if node is not None:
                self._waker.wake(node.node_id, node.limits.macs)

    def _changed(self) -> None:
        self._shown_seq = -1

    def _url_of(self, node_id: NodeId) -> str:
        node = self._engine.state.nodes.get(node_id)
        return "" if node is None else node.url

    def _watch(self, node_id: NodeId, url: str, *, agentless: bool) -> None:
        self._prober.watch(node_id, url, agentless=agentless)

    def _timer(self) -> None:
        if self._stopping:
            return
        now_s = self._loop.time()
        if now_s > self._timer_due_s + SLEPT_S:
            _log.warning("control was stopped for %.0f s", now_s - self._timer_due_s)
            self._awake_s = now_s + SLEPT_S
        self._timer_due_s = now_s + TIMER_S
        self._loop.call_at(self._timer_due_s, self._timer)
        if now_s >= self._awake_s:  # who slept hears first what happened, then judges silence
            self._put(TimerFired())
            if self._recovered and self._engine.state.recovering:
                self._end_recovery()  # an actor failed to hear it
            else:
                self._look_for_fronts()

    def _show(self) -> None:
        if not self._stopping:
            self._loop.call_later(VIEW_S, self._show)
            state = self._engine.state
            if state.seq != self._shown_seq:
                self._link.show(replace(self._view(), benchmark=self._benchmarks.shown))
                self._shown_seq = state.seq

    def _view(self) -> View:
        engine = self._engine
        return view_of(
            engine.state,
            recording=engine.recording,
            challenge=self._challenge,
            gpus=self._gpus,
        )


def _with_changes(settings: Settings, state: State) -> Settings:
    """Return the settings with what was changed while an earlier herd ran, as far as it may be."""
    for key, value in state.changes.items():
        try:
            settings = settings.recorded({key: value})
        except HerdError as error:
            _log.warning("the recorded change of %s is left out: %s", key, error.what)
    return settings


def _limits(settings: Settings) -> Limits:
    """Return the journal's bound: as much as the whole log may take, and room to be sealed in."""
    usual = Limits()
    least_bytes = SEGMENTS * usual.segment_bytes
    return replace(usual, most_bytes=max(settings.log_max_bytes, least_bytes))


def _pace(settings: Settings) -> Pace:
    """Return when an agent's silence is worth a word: when it counts, a few times until then."""
    between_s = settings.offline_after_s - settings.degraded_after_s
    every_s = max(TIMER_S, min(Pace().silent_every_s, between_s / 3))
    return Pace(silent_after_s=settings.degraded_after_s, silent_every_s=every_s)


def _configured(address: NodeAddress) -> NodeConfigured:
    place = address.url.partition("://")[2].replace(":", "-")
    if address.url.startswith("http+unix:"):
        place = place.replace("%2F", "-").replace("%", "-").lstrip("-")
    name = address.name or (default_node_id() if address.origin == "local" else place)
    node_id = NodeId(name)
    return NodeConfigured(
        node_id=node_id, url=address.url, origin=address.origin, slots=address.slots
    )
