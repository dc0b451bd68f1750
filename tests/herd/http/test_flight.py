"""What control hears of a request, and what happens when it changes its mind or is away."""

import asyncio

import msgspec
import pytest

from events import (
    AttemptFailed,
    Lease,
    NodeId,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestId,
    RequestReaped,
    RequestReceived,
    StreamsProgressed,
    StreamStarted,
)
from herd.http import flight as flight_module
from herd.http import front as front_module
from herd.http.endpoints import inference as inference_module
from herd.link.messages import Cancel, Refuse
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    CHAT,
    NDJSON,
    QUIET,
    SSE,
    Ask,
    Control,
    fronting,
    header,
    node,
    post,
    streamed,
)
from tests.herd.http.sockets import client


def test_a_stream_is_reported_when_it_is_a_second_old_and_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "SWEEP_S", 0.02)
    monkeypatch.setattr(flight_module, "STARTED_AFTER_S", 0.05)

    async def main() -> None:
        go_on = asyncio.Event()

        async def script(ask: Ask) -> None:
            ask.begin()
            ask.chunk(NDJSON[0])
            await go_on.wait()
            ask.chunk(NDJSON[1])
            go_on.clear()
            await go_on.wait()
            ask.chunk(NDJSON[2])
            ask.end()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                started = await control.heard(StreamStarted)
                assert started.lease == "1.1"
                first = await control.heard(StreamsProgressed)
                assert first.progress == ((started.request_id, 1),)
                go_on.set()
                second = await control.heard(StreamsProgressed, 2)
                assert second.progress == ((started.request_id, 2),)
                go_on.set()
                await one.answer()
                done = await control.heard(RequestCompleted)
        assert 0 <= done.ttft_s < done.service_s
        assert control.kinds == [
            "RequestReceived",
            "StreamStarted",
            "StreamsProgressed",
            "StreamsProgressed",
            "RequestCompleted",
        ]

    run(main())


def test_a_slot_on_trial_is_told_of_the_first_byte_at_once(run: Run) -> None:
    async def main() -> None:
        async with node(streamed) as here:
            control = Control(here.url)
            control.probing = True
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                await one.answer()
        assert control.kinds == ["RequestReceived", "StreamStarted", "RequestCompleted"]

    run(main())


def test_tokens_of_a_v1_stream_are_counted_unless_reported(run: Run) -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'

    async def main() -> None:
        events: list[bytes] = list(SSE)

        async def script(ask: Ask) -> None:
            ask.begin(b"text/event-stream")
            for event in events:
                ask.chunk(event[:7])
                await asyncio.sleep(0)
                ask.chunk(event[7:])
            ask.end()

        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/v1/chat/completions", CHAT)
                    assert (await one.answer())[1] == b"".join(events)
                    events.insert(3, usage)
            counted = await control.heard(RequestCompleted, 1)
            told = await control.heard(RequestCompleted, 2)
        assert (counted.completion_tokens, counted.usage_source) == (3, "counted")
        assert (told.prompt_tokens, told.completion_tokens, told.usage_source) == (9, 4, "reported")
        assert (counted.finish, told.finish) == ("stop", "stop")

    run(main())


# When control changes its mind, is away, or is full


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("reason", ["stale", "reaped"])
def test_control_can_end_a_request(*, begun: bool, reason: str, run: Run) -> None:
    """Of what is stale it asks how it ended; what is reaped is over, for the log."""

    async def main() -> None:
        freed = asyncio.Event()

        async def script(ask: Ask) -> None:
            if begun:
                ask.begin()
                ask.chunk(NDJSON[0])
            await ask.gone()
            freed.set()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                assert control.front is not None
                await here.ask()
                if begun:
                    await one.until(NDJSON[0])
                stale = Cancel(asked.request_id, Lease("0.9"), reason)
                control.front.cancelled(stale)
                for _ in range(2):
                    control.front.cancelled(Cancel(asked.request_id, Lease("1.1"), reason, 9.5))
                heard = await (one.rest() if begun else one.answer())
                await freed.wait()
        text = heard if isinstance(heard, bytes) else b"".join(heard)
        assert b'{"error":"no progress for too long: herd ended this request"}' in text
        assert text.startswith(b"HTTP/1.1 504") != begun
        assert not text.endswith(b"0\r\n\r\n")
        told = [event for event in control.facts if isinstance(event, RequestReaped)]
        assert control.kinds == ["RequestReceived", *("RequestReaped" for _ in told)]
        assert [(it.request_id, it.lease, it.idle_s) for it in told] == (
            [(asked.request_id, "1.1", 9.5)] if reason == "stale" else []
        )

    run(main())


def test_a_grant_for_nobody_is_given_back(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control):
            grant = control.grant(RequestId("gone"), "http://127.0.0.1:1")
            back = await control.heard(RequestCancelled)
            assert (back.request_id, back.node_id, back.lease) == (
                "gone",
                grant.node_id,
                grant.lease,
            )
            assert control.front is not None
            control.front.cancelled(Cancel(RequestId("gone"), grant.lease, "reaped"))

    run(main())


def test_a_second_grant_does_not_disturb_what_runs(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def script(ask: Ask) -> None:
            await go_on.wait()
            await streamed(ask)

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                await here.ask()
                control.grant(asked.request_id, here.url)
                assert control.front is not None
                carried = control.front.carrying()[1]
                assert [(c.request_id, c.node_id, c.lease) for c in carried] == [
                    (asked.request_id, "n1", "1.1")
                ]
                go_on.set()
                assert (await one.answer())[1] == b"".join(NDJSON)
                assert (await control.heard(RequestCompleted)).lease == "1.1"

    run(main())
    assert "was granted while it runs" in caplog.text


def test_what_waits_is_carried(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", CHAT)
            asked = await control.heard(RequestReceived)
            assert control.front is not None
            assert control.front.carrying() == ((asked.request_id,), ())

    run(main())


@pytest.mark.parametrize(
    ("line", "phase", "reason"),
    [(b"X-Herd-Deadline-S: 0.05", "queue", "deadline"), (b"X: y", "hold", "control_away")],
)
def test_while_control_is_away_the_front_keeps_the_time(
    line: bytes, phase: str, reason: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "SWEEP_S", 0.02)

    async def main() -> None:
        control = Control()
        control.holds, control.connected = True, False
        async with fronting(control) as listener, client(listener.port) as one:
            assert control.front is not None
            control.front.view_changed(control.view)  # it was there once
            control.front.waits.hold_timeout_s = 5.0 if reason == "deadline" else 0.05
            post(one, "/api/chat", CHAT, line)
            head, _ = await one.answer()
            failed = await control.heard(RequestFailed)
            assert (await one.get("/readyz"))[0].startswith(b"HTTP/1.1 503 ")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert header(head, b"Retry-After") == b"1"
        assert (failed.phase, failed.fault, failed.error) == (phase, "herd", reason)

    run(main())


def test_a_request_that_control_has_forgotten_ends_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control ends such waits itself; should it not, the front does, a while later."""
    monkeypatch.setattr(front_module, "SWEEP_S", 0.02)
    monkeypatch.setattr(inference_module, "FORGOTTEN_AFTER_S", 0.05)

    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            assert control.front is not None
            control.front.waits.queue_timeout_s = 0.05
            post(one, "/api/chat", CHAT)
            head, _ = await one.answer()
            failed = await control.heard(RequestFailed)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert (failed.phase, failed.fault, failed.error) == ("queue", "herd", "queue_timeout")

    run(main())


def test_when_the_link_is_full_the_answer_names_it(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            control.full = True
            for path, body in (
                ("/api/chat", CHAT),
                ("/heartbeat", b'{"node_id":"a","draining":true}'),
            ):
                post(one, path, body)
                head, answer = await one.answer()
                assert head.startswith(b"HTTP/1.1 503 ")
                assert b"control process" in answer
                assert header(head, b"Retry-After") == b"1"

    run(main())


def test_when_the_link_fills_up_under_a_request_it_still_ends(run: Run) -> None:
    async def main() -> None:
        control = Control()

        async def script(ask: Ask) -> None:
            control.full = True
            ask.answer(b"{}", 500)

        async with node(script) as here:
            control.urls = [here.url]
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                head, body = await one.answer()
                assert head.startswith(b"HTTP/1.1 502 ")
                assert b"node failed: n1: answered 500" in body
                assert control.front is not None
                assert control.front.carrying() == ((), ())

    run(main())


def test_a_nodes_name_cannot_inject_a_header(run: Run) -> None:
    async def main() -> None:
        async with node(streamed) as here:
            control = Control()
            control.holds = True
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                assert control.front is not None
                grant = control.grant(asked.request_id, here.url)
                evil = msgspec.structs.replace(grant, node_id=NodeId("a\r\nX-Evil: \u00e9"))
                control.front.refused(Refuse(RequestId("unknown"), 404, "unknown_model"))
                assert (await one.answer())[0]
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived, 2)
                control.front.granted(msgspec.structs.replace(evil, request_id=asked.request_id))
                head, _ = await one.answer()
        assert header(head, b"X-Fleet-Node") == b"a%0D%0AX-Evil: %C3%A9"

    run(main())


def test_after_a_failed_attempt_a_request_waits_again(run: Run) -> None:
    async def main() -> None:
        async with node(_fail) as bad:
            control = Control()
            control.holds = True
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                control.grant(asked.request_id, bad.url)
                await control.heard(AttemptFailed)
                assert control.front is not None
                assert control.front.carrying() == ((asked.request_id,), ())
                one.close()
                cancelled = await control.heard(RequestCancelled)
                assert (cancelled.phase, cancelled.lease) == ("queue", "")

    run(main())


def test_the_time_on_a_node_that_failed_is_no_wait(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ran for longer than a request may wait, and goes on waiting all the same."""
    monkeypatch.setattr(front_module, "SWEEP_S", 0.02)
    monkeypatch.setattr(inference_module, "FORGOTTEN_AFTER_S", 0.0)

    async def fail_late(ask: Ask) -> None:
        await asyncio.sleep(1.2)
        ask.answer(b"{}", 500)

    async def main() -> None:
        async with node(fail_late) as bad:
            control = Control()
            control.holds = True
            async with fronting(control) as listener, client(listener.port) as one:
                assert control.front is not None
                control.front.waits.queue_timeout_s = 1.0
                post(one, "/api/chat", CHAT)
                asked = await control.heard(RequestReceived)
                control.grant(asked.request_id, bad.url)
                await control.heard(AttemptFailed)
                await asyncio.sleep(0.1)
                assert "RequestFailed" not in control.kinds
                failed = await control.heard(RequestFailed)
                assert failed.error == "queue_timeout"

    run(main())


async def _fail(ask: Ask) -> None:
    ask.answer(b"{}", 500)
