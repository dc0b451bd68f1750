"""What happened to herd itself."""

import msgspec

from events.base import CONTROL, Event, Lease, NodeId, RequestId, Source


class ControlStarted(Event, frozen=True, tag="control_started"):
    """The control process began a new epoch on this log."""

    epoch: int
    """From 1; the first half of every lease it grants."""
    version: str
    """Of the code."""
    schema: int = 1
    """Of the folded state in `StateSnapshotted`."""
    pid: int = 0


class ControlStopped(Event, frozen=True, tag="control_stopped"):
    """The control process ended in good order; what was still in flight is interrupted."""

    reason: str = ""


class RecoveryEnded(Event, frozen=True, tag="recovery_ended"):
    """Every living front has said what it carries (or did not in time): grants may begin."""

    fronts: int = 0
    waited_s: float = 0.0
    awaited: tuple[Source, ...] = ()
    """Fronts that live and have said nothing yet: what they carry goes on."""


class CarriedRequest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request in flight at a front, as the front tells it."""

    request_id: RequestId
    model: str
    node_id: NodeId
    lease: Lease


class FrontConnected(Event, frozen=True, tag="front_connected"):
    """A front said what it holds, after it had sent again all that was not acknowledged."""

    front: int
    waiting: tuple[RequestId, ...] = ()
    in_flight: tuple[CarriedRequest, ...] = ()


class FrontLost(Event, frozen=True, tag="front_lost"):
    """A front's link closed; its connections died with it."""

    front_src: Source
    told: bool = False
    """It said that it ends, as it was told to."""


class TimerFired(Event, frozen=True, tag="timer_fired"):
    """Time passed; recorded only when something was due."""


class ConfigurationLoaded(Event, frozen=True, tag="configuration_loaded"):
    """Every setting in force, at each start and after each reload.

    It is put together from defaults, recorded changes, the environment and flags.
    """

    settings: dict[str, bool | int | float | str]


class SettingsChanged(Event, frozen=True, tag="settings_changed"):
    """A setting was changed while running."""

    key: str
    old: bool | int | float | str
    new: bool | int | float | str
    by: str = ""


class ActorFailed(Event, frozen=True, tag="actor_failed"):
    """An actor's handler raised; it goes on with the state it had."""

    actor: str
    failed_seq: int
    error: str
    request_id: RequestId = RequestId("")
    front_src: Source = CONTROL
    """Who reported the event it failed on."""


class StateSnapshotted(Event, frozen=True, tag="state_snapshotted"):
    """The whole folded state of control before this record: each segment of the log opens so."""

    state: msgspec.Raw
    """The state as JSON, in the schema of `schema`."""
    schema: int = 1
    version: str = ""


class RecordingResumed(Event, frozen=True, tag="recording_resumed"):
    """The log can be written again; what happened meanwhile was counted, not recorded."""

    lost_from: int
    """The `seq` that the first lost event would have had."""
    lost_events: int
    error: str = ""
