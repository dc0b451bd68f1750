"""Errors in the shape of the API family that was asked."""

import msgspec
import pytest

from herd.http import problems

ID = "01a21856-a74f-7000-ba0e-b9102a8d5639"

KINDS = [
    (400, "invalid_request_error", "invalid_request_error", None),
    (401, "authentication_error", "invalid_request_error", "invalid_api_key"),
    (403, "permission_error", "permission_error", None),
    (404, "not_found_error", "not_found_error", None),
    (413, "request_too_large", "invalid_request_error", None),
    (415, "invalid_request_error", "invalid_request_error", None),
    (429, "rate_limit_error", "api_error", None),
    (500, "api_error", "api_error", None),
    (502, "api_error", "api_error", None),
    (503, "overloaded_error", "api_error", None),
    (504, "timeout_error", "api_error", None),
    (529, "overloaded_error", "api_error", None),
]


@pytest.mark.parametrize(("status", "anthropic", "openai", "code"), KINDS)
def test_each_family_has_its_own_types(
    status: int, anthropic: str, openai: str, code: str | None
) -> None:
    told = {"type": anthropic, "message": "why"}
    found = msgspec.json.decode(problems.body("anthropic", status, "why", ID))
    assert found == {"type": "error", "error": told, "request_id": ID}
    error = {"message": "why", "type": openai, "param": None, "code": code}
    assert msgspec.json.decode(problems.body("openai", status, "why", ID)) == {"error": error}
    assert problems.body("ollama", status, "why", ID) == b'{"error":"why"}'


@pytest.mark.parametrize(("reason", "kind"), [("key_rate", "requests"), ("key_tokens", "tokens")])
def test_what_a_key_has_used_up_is_said_as_openai_says_it(reason: str, kind: str) -> None:
    error = msgspec.json.decode(problems.body("openai", 429, "why", ID, reason))["error"]
    assert (error["type"], error["code"]) == (kind, "rate_limit_exceeded")
    error = msgspec.json.decode(problems.body("anthropic", 429, "why", ID, reason))["error"]
    assert error["type"] == "rate_limit_error"
    assert problems.body("ollama", 429, "why", ID, reason) == b'{"error":"why"}'


def test_a_target_has_its_family_and_its_header() -> None:
    for target, family, header in (
        (b"/v1/messages?beta=true", "anthropic", b"request-id"),
        (b"/v1/messages/count_tokens", "anthropic", b"request-id"),
        (b"/v1/models/a/b", "openai", b"x-request-id"),
        (b"http://herd:11435/v1/messages", "anthropic", b"request-id"),
    ):
        assert problems.family_of(target) == family
        assert problems.id_header(target) == header
    assert problems.family_of(b"/api/chat") == "ollama"


def test_a_stream_that_breaks_off_ends_as_its_route_has_it() -> None:
    """Not as its events look: those of `/v1/messages` are no more than their names."""
    openai = {"message": "why", "type": "api_error", "param": None, "code": None}
    name, told = problems.last_event(b"/v1/messages?beta=true", "why", ID)
    assert (name, told["type"], told["request_id"]) == ("error", "error", ID)
    assert told.keys() == {"type", "error", "request_id"}
    assert told["error"] == {"type": "api_error", "message": "why"}
    for target in (b"/v1/chat/completions", b"/v1/completions"):
        assert problems.last_event(target, "why", ID) == ("", {"error": openai})
    name, told = problems.last_event(b"/v1/responses", "why", ID)
    assert (name, told["type"], told["message"], told["error"]) == ("error", "error", "why", openai)
    assert (told["code"], told["param"], told["sequence_number"]) == ("server_error", None, 0)
    assert problems.last_event(b"/api/chat", "why") == ("", {"error": "why"})
