"""What an incident file does not tell: by which hash one could know a prompt again."""

import msgspec

from actors.core.settings import Settings
from actors.core.state import dump
from events import SettingsChanged
from herd.replay.redaction import Redaction
from tests.actors.cast import book, completed, node, received, rid

RECEIVED = {"k": "request_received", "app": "", "prefixes": [["3f2a", 120], ["99be", 480]]}
SNAPSHOT = {
    "k": "state_snapshotted",
    "state": {"nodes": {"a": {"caches": {"m": [["3f2a", "99be"]]}}}},
}


def redacted(redaction: Redaction, event: dict[str, object]) -> object:
    return msgspec.json.decode(redaction.line(msgspec.json.encode(event)))


def test_hashes_of_prompts_get_names_that_are_the_same_everywhere() -> None:
    redaction = Redaction()
    assert redacted(redaction, dict(RECEIVED)) == {
        **RECEIVED,
        "prefixes": [["prompt-1", 120], ["prompt-2", 480]],
    }
    assert redacted(redaction, dict(SNAPSHOT)) == {
        "k": "state_snapshotted",
        "state": {"nodes": {"a": {"caches": {"m": [["prompt-1", "prompt-2"]]}}}},
    }


def test_who_keeps_clients_keeps_them() -> None:
    assert redacted(Redaction(keep_clients=True), dict(RECEIVED)) == RECEIVED


def test_of_api_keys_neither_a_name_nor_a_digest_is_told() -> None:
    redaction = Redaction()
    added = {"k": "key_added", "key_name": "laptop", "digest": "abcd", "by": ""}
    stored = {"key_name": "laptop", "digest": "abcd", "tokens": 3}
    assert redacted(redaction, dict(added)) == {**added, "key_name": "key-1", "digest": "redacted"}
    assert redacted(
        redaction, {"k": "request_received", "app": "laptop", "key_name": "laptop"}
    ) == {
        "k": "request_received",
        "app": "key-1",
        "key_name": "key-1",
    }
    assert redacted(
        redaction, {"k": "state_snapshotted", "state": {"keys": {"laptop": dict(stored)}}}
    ) == {
        "k": "state_snapshotted",
        "state": {"keys": {"key-1": {"key_name": "key-1", "digest": "redacted", "tokens": 3}}},
    }


def test_what_was_learned_of_applications_keeps_its_order_and_loses_their_names() -> None:
    redaction = Redaction()
    redaction.line(b'{"k":"request_received","app":"ada"}')
    apps = b'{"apps":{"bob":{"count":2},"ada":{"count":1}}}'
    line = b'{"k":"state_snapshotted","state":{"demands":{"m":' + apps + b"}}}"
    assert redaction.line(line) == line.replace(b"bob", b"app-2").replace(b"ada", b"app-1")


def test_no_application_is_left_in_a_state_that_has_learned_all_it_can_of_it() -> None:
    flags = [name for name, value in msgspec.structs.asdict(Settings()).items() if value is False]
    made = book(
        *(SettingsChanged(key=name, old=False, new=True) for name in flags),
        *node("studio", slots=1),
    )
    for number in range(6):
        name = f"r{number}"
        made.given(received(name, app="mallory", client="192.0.2.9", body_bytes=4_000))
        made.given(received(f"w{number}", app="eve", body_bytes=4_000))
        lease = made.state.requests[rid(name)].lease
        made.given(completed(name, "studio", lease, usage_source="reported", prompt_tokens=900))
        waits = made.state.requests.get(rid(f"w{number}"))
        if waits is not None and waits.lease:
            made.given(completed(f"w{number}", "studio", waits.lease, usage_source="reported"))
    state = dump(made.state)
    assert b"mallory" in state
    assert made.state.answers
    line = Redaction().line(b'{"k":"state_snapshotted","state":' + state + b"}")
    assert not [word for word in (b"mallory", b'eve"', b"192.0.2.9") if word in line]


def test_hardware_addresses_get_names() -> None:
    event: dict[str, object] = {
        "k": "heartbeat_received",
        "limits": {"macs": ["3c:7c:3f:00:00:01"]},
    }
    assert redacted(Redaction(), event) == {**event, "limits": {"macs": ["card-1"]}}
