"""What a key allows, how often and how much; and that a restart and a replay know it, too."""

from typing import Any

import pytest

from actors.core.keys import Key
from actors.core.state import dump, load
from events import (
    ConfigurationLoaded,
    FrontLost,
    KeyAdded,
    KeyRevoked,
    RequestRejected,
    SettingsChanged,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    dispatched,
    failed,
    granted,
    node,
    received,
    refused,
    rejected,
    rid,
)
from tests.playbook import FRONT, NOT_RECORDED, START_US, US, Playbook, after

DAY_S = 86_400
LEFT_S = DAY_S - START_US // US % DAY_S
"""Of the day on which the playbooks begin."""


def key(name: str = "laptop", **bounds: Any) -> KeyAdded:
    return KeyAdded(key_name=name, digest="ab" * 32, **bounds)


def keyed(name: str, model: str = MODEL, key_name: str = "laptop", **fields: Any) -> Any:
    return received(name, model, key_name=key_name, **fields)


def tokens(play: Playbook, name: str = "laptop") -> int:
    return play.state.keys[name].used_today(play.now_us)


def test_a_key_without_bounds_is_served_like_nobody() -> None:
    play = book(*node("studio", slots=1), key())
    assert (
        play >> keyed("r1") << dispatched("r1", "studio", "1.1") << granted("r1", "studio", "1.1")
    )
    assert play.state.requests[rid("r1")].key_name == "laptop"


def test_a_name_is_given_once_and_taken_once() -> None:
    play = book(key(models=("a",)))
    assert play >> key(models=("b",)) << NOT_RECORDED
    assert play.state.keys["laptop"].models == ("a",)
    play.given(KeyRevoked(key_name="laptop"))
    assert not play.state.keys
    assert play >> KeyRevoked(key_name="laptop") << NOT_RECORDED


def test_a_key_that_was_revoked_on_the_way_opens_nothing() -> None:
    play = book(*node("studio", slots=1), key("other"), key(), KeyRevoked(key_name="laptop"))
    assert (
        play
        >> keyed("r1")
        << rejected("r1", 401, "key_unknown", 0.0)
        << refused("r1", 401, "key_unknown")
    )


@pytest.mark.parametrize("pattern", ["llama3.2", "LLAMA3.2:latest", "llama*", "x", "*"])
def test_a_key_is_for_the_models_that_it_names(pattern: str) -> None:
    play = book(*node("studio", MODEL, OTHER_MODEL, slots=2), key(models=("qwen2.5:7b", pattern)))
    play.given(keyed("r1"), keyed("r2", OTHER_MODEL))
    out = [each.event for each in play.log if isinstance(each.event, RequestRejected)]
    wanted = [("r1", 403, "key_model", 0)] if pattern == "x" else []
    assert [(e.request_id, e.status, e.reason, e.retry_after_s) for e in out] == wanted
    play.check()


def test_an_alias_is_as_good_as_what_it_stands_for() -> None:
    alias = SettingsChanged(key="model_aliases", old="", new=f"gpt-*={MODEL}")
    play = book(
        *node("studio", slots=9), alias, key("a", models=(MODEL,)), key("b", models=("gpt-4*",))
    )
    play.given(keyed("r1", "gpt-4o", "a"), keyed("r2", "gpt-4o", "b"), keyed("r3", "gpt-3", "b"))
    play.given(keyed("r4", "gpt-3", "a"), keyed("r5", "o1", "a"))
    out = [e.event.request_id for e in play.log if isinstance(e.event, RequestRejected)]
    assert out == ["r3", "r5"]
    assert {request.model for request in play.state.requests.values()} == {MODEL}
    play.check()


def test_no_other_model_serves_it_that_its_key_does_not_allow() -> None:
    on = ConfigurationLoaded(settings={"fallback_models": True})
    play = book(on, *node("studio", OTHER_MODEL, slots=2), *node("mini", MODEL, slots=1))
    play.given(key("a", models=("absent*", MODEL)), key("b", models=("absent*",)))
    others = (OTHER_MODEL, MODEL)
    play.given(keyed("r1", "absent:1b", "a", fallbacks=others))
    play.given(keyed("r2", "absent:1b", "b", fallbacks=others))
    assert play.state.requests[rid("r1")].model == MODEL
    assert rid("r2") not in play.state.requests, "404: no other may serve it"
    play.check()


def test_a_rate_lets_a_minute_s_worth_come_at_once_and_then_one_after_the_other() -> None:
    play = book(*node("studio", slots=9), key(per_minute=3))
    play.given(keyed("r1"), keyed("r2"), keyed("r3"))
    assert (
        play
        >> keyed("r4")
        << rejected("r4", 429, "key_rate", 0.0, 20)
        << refused("r4", 429, "key_rate", 20)
        >> after(19.5)
        >> keyed("r5")
        << rejected("r5", 429, "key_rate", 0.0, 1)
        << refused("r5", 429, "key_rate", 1)
        >> after(0.5)
        >> keyed("r6")
        << dispatched("r6", "studio", "1.4")
        << granted("r6", "studio", "1.4")
        >> keyed("r7")
        << rejected("r7", 429, "key_rate", 0.0, 20)
        << refused("r7", 429, "key_rate", 20)
    )


def test_who_did_as_he_was_told_is_served() -> None:
    play = book(*node("studio", slots=99), key(per_minute=7))
    for number in range(30):
        play.given(keyed(f"a{number}"))
        last = play.log[-1].event
        if isinstance(last, RequestRejected):
            play.given(after(last.retry_after_s), keyed(f"b{number}"))
            assert not isinstance(play.log[-1].event, RequestRejected)
    play.check()


def test_tokens_are_counted_when_an_answer_ends_and_end_with_the_day() -> None:
    play = book(*node("studio", slots=9), key(tokens_a_day=150), key("other"))
    play.given(keyed("r1"), completed("r1", "studio", "1.1", prompt_tokens=40))
    assert tokens(play) == 140
    play.given(keyed("r2"), keyed("r3"), completed("r2", "studio", "1.2", prompt_tokens=9))
    assert tokens(play) == 249
    assert (
        play
        >> keyed("r4")
        << rejected("r4", 429, "key_tokens", 0.0, LEFT_S)
        << refused("r4", 429, "key_tokens", LEFT_S)
        >> keyed("r5", MODEL, "other")
        << dispatched("r5", "studio", "1.4")
        << granted("r5", "studio", "1.4", score=100 - 1 / 9)
        >> after(LEFT_S)
        >> keyed("r6")
        << dispatched("r6", "studio", "1.5")
        << granted("r6", "studio", "1.5", score=100 - 2 / 9)
    )
    assert tokens(play) == 0
    assert (play.state.keys["laptop"].requests, play.state.keys["laptop"].tokens) == (2, 249)


def test_an_answer_that_its_client_left_counts_with_its_prompt() -> None:
    play = book(*node("studio", slots=9), key())
    play.given(keyed("r1", body_bytes=4_000), cancelled("r1", "studio", "1.1"))
    prompt = tokens(play)
    assert prompt > 500
    play.given(keyed("r2"), failed("r2", "studio", "1.2", completion_tokens=30, phase="queue"))
    assert tokens(play) == prompt + 30


def test_what_is_said_of_a_lease_that_is_over_is_not_counted() -> None:
    play = book(*node("studio", slots=9), *node("mini", slots=9), key())
    play.given(keyed("r1"))
    where = str(play.state.requests[rid("r1")].node_id)
    play.given(attempt_failed("r1", where, "1.1"), completed("r1", where, "1.1"))
    assert tokens(play) == 0
    play.given(completed("nobody", where, "1.9"), received("r9"), completed("r9", where, "1.3"))
    assert tokens(play) == 0


def test_a_stored_state_remembers_what_was_used() -> None:
    play = book(*node("studio", slots=9), key(tokens_a_day=100, per_minute=5, models=("*",)))
    play.given(keyed("r1"), completed("r1", "studio", "1.1"))
    again = load(dump(play.state)).keys["laptop"]
    assert again == play.state.keys["laptop"]
    assert again.tokens_today == 100
    assert again.free_us > START_US


def test_a_key_without_bounds_never_waits() -> None:
    key = Key("laptop", "")
    assert key.wait_us(START_US) == key.day_left_us(START_US) == 0
    assert key.asks(START_US)
    assert key.free_us == 0


def test_usage_of_the_last_day_is_not_of_this_one() -> None:
    key = Key("laptop", "", tokens_a_day=10)
    key.spend(10, START_US)
    assert key.day_left_us(START_US) == LEFT_S * US
    key.spend(3, START_US + DAY_S * US)
    assert (key.tokens_today, key.tokens, key.requests) == (3, 13, 2)


def test_what_was_lost_with_its_front_is_a_request_without_tokens() -> None:
    play = book(*node("studio", slots=9), key())
    play.given(keyed("r1"), FrontLost(front_src=FRONT))
    assert (play.state.keys["laptop"].requests, tokens(play)) == (1, 0)
