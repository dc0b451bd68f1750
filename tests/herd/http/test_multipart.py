"""Recordings: which model a form asks for, read in one way or not at all."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import ModelFacts, NodeFacts, NodeId, RequestCompleted, RequestReceived
from herd.http import multipart
from herd.http.problems import BadRequestError
from herd.http.reading import Sse
from herd.link.messages import NodeView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, node, post
from tests.herd.http.sockets import client

PATH = "/v1/audio/transcriptions"
KIND = b"multipart/form-data; boundary=xYz"
SOUND = bytes(range(256)) + b"\r\n--xY\r\n\r\n"


def part(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    head = b'--xYz\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n' % (name, more)
    return head + value + b"\r\n"


FILE = part(b"file", SOUND, b'; filename="a; name=model.wav"\r\nContent-Type: audio/wav')
END = b"--xYz--\r\n"
FORM = FILE + part(b"model", b"Whisper") + part(b"response_format", b"") + END


def test_the_model_is_found_behind_the_recording() -> None:
    asked = multipart.read(FORM, KIND)
    assert (asked.model, asked.stream, asked.form) == ("Whisper", False, b"xYz")
    quoted = b'Multipart/Form-Data; charset=utf-8; Boundary="xYz"'
    streamed = part(b"stream", b"true") + FORM
    assert multipart.read(b"preamble\r\n" + streamed, quoted).stream


def test_another_model_leaves_every_other_byte() -> None:
    told = multipart.with_model(FORM, b"xYz", "org/whisper")
    assert told == FORM.replace(b"\r\n\r\nWhisper\r\n", b"\r\n\r\norg/whisper\r\n")


def test_a_file_is_no_field() -> None:
    form = part(b"model", b"x", b'; filename="m"') + part(b"model", b"m") + END
    assert multipart.read(form, KIND).model == "m"
    assert not multipart.read(FILE + END, KIND).model


def test_other_fields_may_be_lists() -> None:
    """As the openai package sends `timestamp_granularities`."""
    name = b"timestamp_granularities[]"
    form = part(name, b"word") + part(name, b"segment") + part(b"model", b"m") + END
    assert multipart.read(form, KIND).model == "m"


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (FORM, b"application/json", "isn't multipart"),
        (FORM, b"multipart/form-data", "no multipart boundary"),
        (FORM, b'multipart/form-data; boundary=""', "no multipart boundary"),
        (FORM, KIND + b"; boundary=b", "twice"),
        (FORM, b"multipart/form-data; boundary=other", "not whole"),
        (b"", KIND, "not whole"),
        (FORM[: -len(END) - 2], KIND, "not whole"),
        (part(b"model", b"a") + part(b"model", b"b") + END, KIND, "'model' twice"),
        (part(b"a", b"", b'; name="model"') + END, KIND, "twice"),
        (b"--xYz\r\nContent-Type: text/plain\r\n\r\nm\r\n" + END, KIND, "no name"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(body: bytes, kind: bytes, why: str) -> None:
    with pytest.raises(BadRequestError, match=why):
        multipart.read(body, kind)


@given(st.binary(max_size=80), st.binary(max_size=20))
def test_garbage_is_refused(data: bytes, kind: bytes) -> None:
    for body in (data, b"--xYz\r\n" + data, b"--xYz" + data + b"\r\n--xYz--"):
        for said in (kind, KIND, b"multipart/form-data; " + kind):
            try:
                asked = multipart.read(body, said)
            except BadRequestError:
                continue
            assert isinstance(asked.model, str)


def seen(url: str) -> View:
    facts, models = NodeFacts(dialect="openai"), (ModelFacts(name="org/whisper"),)
    there = NodeView(NodeId("a"), url, "online", "configured", False, facts, (), models, {})  # noqa: FBT003 (it is not draining)
    return View(nodes=(there,))


@pytest.mark.parametrize(
    ("kind", "said"),
    [(b"application/json", b'{"text":"Hi"}'), (b"text/plain; charset=utf-8", b"Hi\n")],
)
def test_a_recording_goes_to_a_node_as_it_is(kind: bytes, said: bytes, run: Run) -> None:
    async def hears(ask: Ask) -> None:
        ask.answer(said, 200, kind)

    async def main() -> None:
        async with node(hears) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, PATH, FORM, b"Content-Type: " + KIND)
                head, answer = await one.answer()
                assert (head[:12], answer) == (b"HTTP/1.1 200", said)
                assert b"\r\nX-Fleet-Requested-Model: Whisper\r\n" in head
                control.view = seen(here.url)
                assert control.front is not None
                control.front.view_changed(control.view)
                renamed = FORM.replace(b"Whisper", b"ORG/Whisper:latest")
                post(one, PATH, renamed, b"Content-Type: " + KIND)
                await one.answer()
            assert [ask.head.split(b" ")[1] for ask in here.asks] == [PATH.encode()] * 2
            assert here.asks[0].body == FORM
            assert here.asks[1].body == FORM.replace(b"Whisper", b"org/whisper")
            await control.heard(RequestCompleted, 2)
            received = await control.heard(RequestReceived)
            assert (received.route, received.model) == (PATH, "Whisper:latest")
            assert (received.needs, received.body_bytes) == (None, 0)

    run(main())


def test_a_stream_of_what_a_recording_says_has_its_own_end() -> None:
    words = b'data: {"type":"transcript.text.delta","delta":"transcript.text.done"}\n\n'
    end = b'data: {"type":"transcript.text.done","text":"Hi"}\n\n'
    reading = Sse()
    reading.feed(words)
    assert reading.last_event() is None
    reading.feed(end)
    found = reading.last_event()
    assert found is not None
    assert (found.whole, found.completion_tokens) == (True, 1)
    other = Sse()
    other.feed(words + end + b"data: [DONE]\n\n")
    assert (other.usage().whole, other.tokens) == (True, 3)


def test_plain_text_answers_nothing_but_a_form(run: Run) -> None:
    async def says(ask: Ask) -> None:
        ask.answer(b"OK", 200, b"text/plain")

    async def main() -> None:
        async with (
            node(says) as here,
            fronting(Control(here.url)) as listener,
            client(listener.port) as one,
        ):
            post(one, "/api/chat", b'{"model":"m"}')
            head, _ = await one.answer()
        assert head.startswith(b"HTTP/1.1 502")

    run(main())


@pytest.mark.parametrize(
    ("form", "status", "why"),
    [(FILE + END, 400, "model is required"), (FORM[:-20], 400, "the form is not whole")],
)
def test_a_form_that_asks_for_nothing_is_refused_in_openais_words(
    form: bytes, status: int, why: str, run: Run
) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, PATH, form, b"Content-Type: " + KIND)
            head, answer = await one.answer()
        assert head.startswith(b"HTTP/1.1 %d" % status)
        assert msgspec.json.decode(answer)["error"]["message"] == why
        assert not control.facts

    run(main())
