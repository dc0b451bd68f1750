"""A log with a bit of everything in it, on the disk: clients, a restart, a kill, a gap, a drain."""

from pathlib import Path

from actors.core.state import State
from actors.run_queue import fold_envelope
from events import (
    ConfigurationLoaded,
    ControlStarted,
    DrainRequested,
    FrontConnected,
    NodeId,
    Recorded,
    RecordingResumed,
    RecoveryEnded,
    RequestId,
    SettingsChanged,
    StateSnapshotted,
    TimerFired,
    encode,
)
from herd.control.restore import apply, become, head_of_segment
from herd.journal.files import segment_path
from tests.actors.cast import STARTED, attempt_failed, completed, node, received, rid, url
from tests.herd.logd.rig import data_dir
from tests.playbook import FRONT, OTHER_FRONT, Playbook, after, by

ADDRESS, OTHER_ADDRESS = "203.0.113.77", "2001:db8::77"
HOME = "/ho" + "me/ada-lovelace/.fleet-manager"
CANARIES = (ADDRESS, OTHER_ADDRESS, "ada-lovelace", "Ada's notebook", "192.0.2.200")
"""What must not be in a file that is handed on."""

SETTINGS = ConfigurationLoaded(
    settings={
        "data_dir": HOME,
        "host": "192.0.2.200",
        "port": 11435,
        "max_retries": 1,
        "policy": "resident-first",
        "nodes": " ".join(url(name) for name in ("ada", "bob")),
    }
)


def request(number: int) -> RequestId:
    """A name as fronts make them."""
    return rid(f"0199{number:08x}-0000-7000-8000-000000000000")


class Recorder:
    """A playbook that goes on after restarts, with heads in its log, and ten seconds a step."""

    def __init__(self) -> None:
        self.playing = Playbook(*STARTED, SETTINGS, *node("ada", slots=1), *node("bob", slots=1))
        self.asked = 0

    def ask(self, *clients: str, app: str = "") -> None:
        for client in clients:
            self.asked += 1
            asked = received(request(self.asked), client=client, app=app or client)
            self.playing.given(after(10.0), by(FRONT, asked))

    def finish(self, *, failing: bool = False) -> None:
        """End the oldest request that runs, or let its node fail it."""
        each = next(each for each in self.playing.state.requests.values() if each.lease)
        kind = attempt_failed if failing else completed
        self.playing.given(after(10.0), kind(each.request_id, each.node_id, each.lease))

    def head(self) -> None:
        """Begin a segment."""
        record = head_of_segment(self.playing.state, self.playing.now_us)
        self.playing.log.append(record)
        fold_envelope(self.playing.state, record)

    def start_again(self, epoch: int) -> None:
        self.playing.given(after(10.0))
        self.head()
        self.playing.given(
            ControlStarted(epoch=epoch, version="test"),
            SETTINGS,
            by(FRONT, FrontConnected(front=1)),
            by(OTHER_FRONT, FrontConnected(front=2)),
            RecoveryEnded(fronts=2),
        )

    def cut_off(self, records: int) -> None:
        """Be killed before the last records were written."""
        del self.playing.log[-records:]
        state = State()
        for record in self.playing.log:
            apply(state, record)
        become(self.playing.state, state)


def eventful() -> list[list[Recorded]]:
    """Return its segments."""
    recorder = Recorder()
    playing = recorder.playing
    recorder.ask(ADDRESS, OTHER_ADDRESS, ADDRESS, app="Ada's notebook")
    recorder.ask(ADDRESS, OTHER_ADDRESS)
    recorder.finish()
    recorder.finish(failing=True)
    playing.given(after(10.0), DrainRequested(node_id=NodeId("bob"), by=ADDRESS))
    recorder.start_again(2)
    recorder.ask(OTHER_ADDRESS)
    playing.given(
        after(10.0), DrainRequested(node_id=NodeId("bob"), draining=False, by=OTHER_ADDRESS)
    )
    recorder.ask(ADDRESS, ADDRESS)
    recorder.finish()
    recorder.cut_off(1)  # nobody heard of what followed from the end of that request
    recorder.start_again(3)
    playing.given(after(10.0), SettingsChanged(key="max_retries", old=1, new=2, by=ADDRESS))
    recorder.ask(OTHER_ADDRESS)
    recorded = len(playing.log)
    recorder.ask(ADDRESS, OTHER_ADDRESS)
    lost = len(playing.log) - recorded
    del playing.log[recorded:]
    recorder.head()
    first = playing.log[-1].seq - lost
    error = f"cannot write the journal in {HOME}/log/journal: No space left on device"
    playing.given(RecordingResumed(lost_from=first, lost_events=lost, error=error))
    recorder.ask(OTHER_ADDRESS, ADDRESS)
    playing.given(after(700.0), TimerFired())
    return segments(playing.log)


def segments(log: list[Recorded]) -> list[list[Recorded]]:
    found: list[list[Recorded]] = []
    for record in log:
        if isinstance(record.event, StateSnapshotted):
            found.append([])
        found[-1].append(record)
    return found


def on_disk(root: Path, log: list[list[Recorded]] | None = None) -> Path:
    """Write it; return the data directory."""
    directory = data_dir(root)
    for segment in eventful() if log is None else log:
        path = segment_path(directory.journal, segment[0].seq)
        path.write_bytes(b"".join(map(encode, segment)))
    return root
