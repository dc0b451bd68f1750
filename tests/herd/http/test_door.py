"""Who may speak for a node: forged, replayed, stolen, and what an honest agent gets to hear."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from events import DrainRequested, Event, HeartbeatReceived, NodeId, NodePinned
from herd.agent import keypair
from herd.agent.keypair import Keypair
from herd.http import door as doors
from herd.http.door import Door, NotAdmittedError
from herd.http.exchange import Exchange, Request
from herd.link.messages import NodeView, PinView, View
from herd.signing import fingerprint
from tests.herd.http.fleet import node_view
from tests.herd.http.test_gate import Wire

PEER = "192.168.7.4"
MARK = "ab" * 16
TOKEN = "a-join-token-of-a-test"  # noqa: S105 (it opens nothing)
BODY = b'{"node_id":"studio","ollama":{"models_available":["a:1"]},"protocol":1}'
DRAIN = b'{"node_id":"studio","draining":true}'


def exchange(body: bytes, *headers: tuple[bytes, bytes], peer: str = PEER) -> Exchange:
    request = Request()
    request.body, request.headers = body, list(headers)
    return Exchange(Wire(), request, peer)


class Stage:
    """A door, a key, and the view that control would have by now."""

    def __init__(self, path: Path, mode: str = "open", *, unsigned: bool = True) -> None:
        self.door = Door(mode, TOKEN, unsigned=unsigned)
        self.view = View(challenge=MARK)
        self.keys = Keypair(path / "node.key", join_token=TOKEN)
        self.path = path

    def other(self, *, join_token: str = "") -> Keypair:
        return Keypair(self.path / "other.key", join_token=join_token)

    def signed(self, keys: Keypair | None = None, body: bytes = BODY) -> list[tuple[bytes, bytes]]:
        """Return the headers of a heartbeat that answers the challenge."""
        signer = keys or self.keys
        signer.challenged(MARK, 0)
        return signer.headers("studio", body)

    def heard(
        self, *headers: tuple[bytes, bytes], body: bytes = BODY, peer: str = PEER
    ) -> list[Event]:
        """Return what control hears, and let the view follow."""
        _, facts = self.door.admitted(exchange(body, *headers, peer=peer), self.view)
        for fact in facts:
            if isinstance(fact, NodePinned):
                pins = {**self.view.pins, fact.node_id: PinView(fact.node_key)}
                self.view = msgspec.structs.replace(self.view, pins=pins)
        return facts

    def refused(self, *headers: tuple[bytes, bytes], **more: Any) -> NotAdmittedError:
        with pytest.raises(NotAdmittedError) as refused:
            self.heard(*headers, **more)
        return refused.value

    def knows(self, *nodes: NodeView) -> None:
        self.view = msgspec.structs.replace(self.view, nodes=nodes)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_first_join_pins_the_key(stage: Stage) -> None:
    pin, beat = stage.heard(*stage.signed())
    assert pin == NodePinned(node_id=NodeId("studio"), node_key=stage.keys.public, by=PEER)
    assert isinstance(beat, HeartbeatReceived)
    assert beat.node_key == stage.keys.public
    assert beat.counter > 0
    assert [type(fact) for fact in stage.heard(*stage.signed())] == [HeartbeatReceived]


def test_an_agent_that_does_not_know_the_challenge_is_told_it(stage: Stage) -> None:
    refused = stage.refused(*stage.keys.headers("studio", BODY))
    assert (refused.status, refused.answer["challenge"]) == (401, MARK)
    stage.keys.challenged(MARK, 0)
    assert stage.heard(*stage.keys.headers("studio", BODY))


def test_a_heartbeat_that_was_overheard_counts_once(stage: Stage) -> None:
    overheard = stage.signed()
    stage.heard(*overheard)
    refused = stage.refused(*overheard)
    assert (refused.status, refused.answer["after"]) == (
        401,
        int(dict(overheard)[b"X-Herd-Node-Counter"]),
    )


def test_a_drain_of_before_a_restart_counts_no_more(stage: Stage) -> None:
    body = BODY.replace(b"}", b"}").replace(b'"protocol":1', b'"protocol":1,"draining":true')
    drain = stage.signed(body=body)
    [_, beat] = stage.heard(*drain, body=body)
    assert isinstance(beat, HeartbeatReceived)
    assert beat.draining
    later = Stage(stage.path)
    later.view = msgspec.structs.replace(stage.view, challenge="cd" * 16)
    assert later.refused(*drain, body=body).status == 401


def test_a_clock_that_was_set_back_is_made_up_for(stage: Stage) -> None:
    stage.keys.challenged(MARK, 10**16 - 9)
    stage.heard(*stage.keys.headers("studio", BODY))
    again = Keypair(stage.path / "node.key")
    refused = stage.refused(*stage.signed(again))
    again.challenged(MARK, int(str(refused.answer["after"])))
    assert stage.heard(*again.headers("studio", BODY))


@pytest.mark.parametrize("changed", [BODY.replace(b"a:1", b"b:1"), BODY + b" "])
def test_a_signature_is_of_one_body(stage: Stage, changed: bytes) -> None:
    refused = stage.refused(*stage.signed(), body=changed)
    assert (refused.status, "signature" in str(refused)) == (403, True)


@pytest.mark.parametrize("name", [b"X-Herd-Node-Counter", b"X-Herd-Node-Key", b"X-Herd-Join-Proof"])
def test_a_signature_is_of_its_headers_too(stage: Stage, name: bytes) -> None:
    headers = dict(stage.signed())
    value = headers[name]
    headers[name] = value[:-1] + (b"1" if value[-1:] != b"1" else b"2")
    assert stage.refused(*headers.items()).status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {b"X-Herd-Node-Key": b"zz"},
        {b"X-Herd-Node-Signature": b"00"},
        {b"X-Herd-Node-Counter": b"-1"},
        {b"X-Herd-Node-Counter": b"9" * 17},
        {b"X-Herd-Node-Challenge": b"x" * 10_000},
        {b"X-Herd-Node-Next-Key": b"ab"},
        {b"X-Herd-Node-Signature": b""},
    ],
)
def test_half_a_signature_is_none(stage: Stage, headers: dict[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="incomplete or misshapen"):
        stage.heard(*(dict(stage.signed()) | headers).items())


def test_a_name_that_a_key_has_claimed_is_nobody_else_s(stage: Stage) -> None:
    stage.heard(*stage.signed())
    for body in (BODY, DRAIN):
        assert "another key speaks for 'studio'" in str(stage.refused(body=body))
    refused = stage.refused(*stage.signed(stage.other()))
    assert (refused.status, refused.answer["other_key"]) == (403, True)
    assert refused.knock is None


def test_of_two_agents_with_one_key_the_later_one_speaks(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was copied, name and key and all; or a service, and the same by hand."""
    now_s = 1_000.0
    monkeypatch.setattr(doors, "monotonic", lambda: now_s)
    first, copy, again = (BODY[:-1] + b',"started":%d}' % at for at in (100, 200, 300))

    def heard(body: bytes) -> None:
        stage.heard(*stage.signed(body=body), body=body)

    def refused(body: bytes) -> str:
        return str(stage.refused(*stage.signed(body=body), body=body))

    heard(first)
    heard(copy)
    stage.knows(msgspec.structs.replace(node_view("studio"), origin="agent"))
    told = "another agent with this key, started later, speaks for 'studio' at http://studio:11434"
    assert refused(first).startswith(told)
    now_s += 14.0
    heard(copy)
    now_s += 14.0
    refused(first)
    heard(again)
    refused(copy)
    now_s += 15.0
    heard(first)  # the others were stopped
    now_s += 15.0
    heard(BODY)  # an older agent does not say when it was started


def test_a_revoked_name_is_asked_for_and_given_by_an_operator(stage: Stage) -> None:
    pin = PinView(stage.keys.public, revoked=True)
    stage.view = msgspec.structs.replace(stage.view, pins={NodeId("studio"): pin})
    refused = stage.refused(*stage.signed(stage.other()))
    assert refused.knock is not None
    assert refused.knock.node_key == stage.other().public
    assert stage.refused(*stage.signed()).status == 403
    assert "was revoked" in str(stage.refused())


def test_a_new_key_is_named_by_the_old_one(stage: Stage) -> None:
    stage.heard(*stage.signed())
    old = stage.keys.public
    stage.keys.rotate()
    *_, rotated = stage.heard(*stage.signed())
    assert isinstance(rotated, NodePinned)
    assert rotated.replaces == old
    assert stage.keys.taken()
    assert stage.keys.public == rotated.node_key
    assert [type(fact) for fact in stage.heard(*stage.signed())] == [HeartbeatReceived]


# Agents that do not sign


def test_an_agent_of_before_joins_an_open_fleet(stage: Stage) -> None:
    [beat] = stage.heard()
    assert isinstance(beat, HeartbeatReceived)
    assert (beat.node_key, beat.counter) == ("", 0)
    assert [type(fact) for fact in stage.heard(body=DRAIN)] == [DrainRequested]


@pytest.mark.parametrize(("mode", "unsigned"), [("token", True), ("ask", True), ("open", False)])
def test_elsewhere_it_is_told_what_to_do(tmp_path: Path, mode: str, *, unsigned: bool) -> None:
    refused = Stage(tmp_path, mode, unsigned=unsigned).refused()
    assert (refused.status, "FLEET_ALLOW_UNSIGNED_NODES" in str(refused)) == (403, True)


# Closed fleets


def test_who_knows_the_join_token_joins_once_and_for_all(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "token")
    refused = stage.refused(*stage.signed(stage.other(join_token="guess")))  # noqa: S106 (it opens nothing)
    assert "herd nodes token" in str(refused)
    assert stage.refused(*stage.signed(stage.other())).status == 403
    headers = stage.signed()
    assert TOKEN.encode() not in b"".join(value for _, value in headers)
    assert len(stage.heard(*headers)) == 2
    again = Keypair(tmp_path / "node.key")
    assert len(stage.heard(*stage.signed(again))) == 1, "pinned: no token is needed any more"


def test_a_proof_is_of_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, "token")
    proof = dict(stage.signed())[b"X-Herd-Join-Proof"].decode()

    def overheard(*_: str) -> str:
        return proof

    monkeypatch.setattr(keypair, "join_proof", overheard)
    thief = stage.other(join_token="overheard")  # noqa: S106 (it opens nothing)
    assert "join token" in str(stage.refused(*stage.signed(thief)))


def test_a_fleet_without_a_token_to_compare_takes_nobody(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "token")
    stage.door = Door("token", "", unsigned=True)
    assert stage.refused(*stage.signed()).status == 403


def test_who_has_to_ask_is_heard_of(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "ask")
    refused = stage.refused(*stage.signed())
    assert fingerprint(stage.keys.public) in str(refused)
    assert refused.knock is not None
    assert (refused.knock.node_key, refused.knock.by) == (stage.keys.public, PEER)


# Nodes that no agent brought in, and too many of them


@pytest.mark.parametrize("body", [BODY, DRAIN])
def test_a_named_node_is_moved_and_drained_by_nobody_from_elsewhere(
    stage: Stage, body: bytes
) -> None:
    stage.knows(node_view("studio"))
    signed = stage.signed() if body is BODY else ()
    assert "command line" in str(stage.refused(*signed, body=body))
    assert "command line" in str(stage.refused(body=body, peer="not an address"))
    by_proxy = (*(stage.signed() if body is BODY else ()), (b"X-Forwarded-For", b"127.0.0.1"))
    assert "command line" in str(stage.refused(*by_proxy, body=body, peer="127.0.0.1"))
    assert stage.heard(*(stage.signed() if body is BODY else ()), body=body, peer="127.0.0.1")


def test_an_agent_may_speak_for_a_named_node_where_it_is(stage: Stage) -> None:
    stage.knows(node_view("studio"))
    body = BODY.replace(b"{", b'{"ollama_host":"http://studio:11434",', 1)
    assert len(stage.heard(*stage.signed(body=body), body=body)) == 2


def test_there_is_an_end_to_names(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "MOST_NODES", 1)
    stage.knows(node_view("other"))
    assert stage.refused().status == stage.refused(*stage.signed()).status == 503


def test_there_is_an_end_to_what_a_heartbeat_names(stage: Stage) -> None:
    def naming(models: int, digest: str = "") -> bytes:
        names = [f"model-{number}:latest" for number in range(models)]
        meta = {name: {"digest": digest} for name in names if digest}
        ollama = {"models_available": names, "models_available_meta": meta}
        return msgspec.json.encode({"node_id": "studio", "protocol": 1, "ollama": ollama})

    def refused(body: bytes) -> NotAdmittedError:
        return stage.refused(*stage.signed(body=body), body=body)

    body = naming(4_000, "0" * 64)
    [_, beat] = stage.heard(*stage.signed(body=body), body=body)
    assert isinstance(beat, HeartbeatReceived)
    assert len(beat.models) == 4_000
    many, large = refused(naming(100_000)), refused(naming(3, "0" * 1_000_000))
    assert (many.status, "4,096 models at most, this one 100,000" in str(many)) == (413, True)
    assert (large.status, "2,097,152 bytes at most" in str(large)) == (413, True)


def test_a_front_that_never_heard_from_control_takes_nobody_s_word(stage: Stage) -> None:
    stage.view = View()
    assert stage.refused(*stage.signed()).status == 503


def test_a_short_word_is_not_signed(stage: Stage) -> None:
    assert stage.refused(*stage.signed(body=DRAIN), body=DRAIN).status == 403


def test_an_agent_that_relays_signs_and_is_found_by_its_name(stage: Stage) -> None:
    body = BODY[:-1] + b',"relay":true,"ollama_host":"http://localhost:11434"}'
    assert stage.refused(body=body).status == 403
    beat = stage.heard(*stage.signed(body=body), body=body)[-1]
    assert isinstance(beat, HeartbeatReceived)
    assert beat.url == "relay://studio"
