"""Which other model serves a request, and that it is never one that it should not be."""

from typing import Any

import pytest

from actors.core.learning import UNKNOWN, Length
from events import (
    ConfigurationLoaded,
    Event,
    KeyAdded,
    Lease,
    LeaseAdopted,
    ModelFacts,
    ModelSubstituted,
    NodeProbed,
    RequestReceived,
    ResidentModel,
    Substitution,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    dispatched,
    granted,
    nid,
    node,
    probed,
    queued,
    received,
    refused,
    rejected,
    rid,
    unreachable,
)
from tests.playbook import FRONT, Cue, Playbook, like

GB = 1_000_000_000
CHAT = "mistral:7b"
LARGE = "llama3.3:70b"
NOBODYS = "nobody-has:this"


def on(**more: Any) -> ConfigurationLoaded:
    every = dict.fromkeys(("fallback_models", "vram_fallback", "anthropic_fallback"), True)
    return ConfigurationLoaded(settings=every | more)


def moved(name: str, model: str, to: str, reason: Substitution = "fallback_models") -> like:
    return like(ModelSubstituted, request_id=name, model=model, to=to, reason=reason)


def facts(name: str, gb: float = 40, *capabilities: str) -> ModelFacts:
    return ModelFacts(name=name, size_bytes=int(gb * GB), capabilities=capabilities)


def host(
    name: str, *models: ModelFacts, resident: dict[str, int] | None = None, slots: int = 1
) -> tuple[Event, ...]:
    """A node with these on its disk; of those in memory, the context."""
    there = tuple(
        ResidentModel(name=each, size_bytes=4 * GB, context_length=context)
        for each, context in (resident or {}).items()
    )
    told = NodeProbed(node_id=nid(name), reachable=True, models=models, resident=there)
    return configured(name, slots), told


def moves(play: Playbook) -> list[ModelSubstituted]:
    events = [record.event for record in play.log]
    return [event for event in events if isinstance(event, ModelSubstituted)]


def after_all(*given: Cue | tuple[Cue, ...]) -> list[ModelSubstituted]:
    """Return the moves that these facts lead to, once replay has told the same."""
    play = book(*given)
    play.check()
    return moves(play)


# fallback_models


def test_the_first_of_the_list_that_can_be_served_takes_over() -> None:
    asks = received("r1", NOBODYS, fallbacks=("nor:this", OTHER_MODEL, MODEL))
    assert (
        book(on(), *node("studio", MODEL, OTHER_MODEL, slots=1))
        >> asks
        << moved("r1", NOBODYS, OTHER_MODEL)
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", model=OTHER_MODEL, reason="fallback_models")
    )


def test_a_key_is_served_by_no_model_that_it_is_not_for() -> None:
    key = KeyAdded(key_name="k", digest="ab", models=(NOBODYS, MODEL))
    asks = received("r1", NOBODYS, fallbacks=(OTHER_MODEL, MODEL), key_name="k")
    (move,) = after_all(on(), key, *node("studio", MODEL, OTHER_MODEL, slots=1), asks)
    assert (move.model, move.to) == (NOBODYS, MODEL)


def test_while_the_asked_model_can_be_served_it_is() -> None:
    assert (
        book(on(), *node("studio", MODEL, OTHER_MODEL, slots=1))
        >> received("r1", MODEL, fallbacks=(OTHER_MODEL,))
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1")
    )


@pytest.mark.parametrize(
    ("setting", "no_fallback"),
    [(on(fallback_models=False), False), (ConfigurationLoaded(settings={}), False), (on(), True)],
)
def test_a_list_counts_only_where_it_is_allowed(
    setting: ConfigurationLoaded,
    no_fallback: bool,  # noqa: FBT001 (drawn)
) -> None:
    asks = received("r1", MODEL, fallbacks=(OTHER_MODEL,), no_fallback=no_fallback)
    assert (
        book(setting, *node("studio", OTHER_MODEL))
        >> asks
        << rejected("r1", 404, "unknown_model", 0.0)
        << refused("r1", 404, "unknown_model")
    )


def away(name: str, model: str) -> tuple[Event, ...]:
    """A node that has a model, and went offline."""
    return (*node(name, model), unreachable(name), unreachable(name), unreachable(name))


def test_a_model_of_the_list_on_a_node_offline_is_waited_for_not_denied() -> None:
    assert (
        book(on(), *away("studio", OTHER_MODEL))
        >> received("r1", NOBODYS, fallbacks=(OTHER_MODEL,))
        << queued("r1", 1, "hold", NOBODYS)
    )


def test_one_that_waits_goes_over_when_a_model_of_its_list_comes() -> None:
    play = book(on(), *away("studio", MODEL))
    play.given(received("r0"), received("r1", fallbacks=(OTHER_MODEL,)))
    play.given(configured("mini", 1), probed("mini", OTHER_MODEL, resident=(OTHER_MODEL,)))
    play.check()
    assert [(each.request_id, each.to) for each in moves(play)] == [("r1", OTHER_MODEL)]
    assert play.state.requests[rid("r1")].node_id == "mini"
    assert list(play.state.lines[MODEL].waiting) == ["r0"], "it names no other"


def test_one_that_waits_goes_back_when_only_the_asked_model_is_online() -> None:
    play = book(on(), *away("studio", MODEL), *node("mini", OTHER_MODEL, slots=1))
    play.given(received("r0", OTHER_MODEL), received("r1", fallbacks=(OTHER_MODEL,)))
    assert play.state.requests[rid("r1")].model == OTHER_MODEL, "it waits for the slot of r0"
    play.given(*[unreachable("mini")] * 3, probed("studio", MODEL, resident=(MODEL,)))
    play.check()
    assert [(each.model, each.to) for each in moves(play)] == [
        (MODEL, OTHER_MODEL),
        (OTHER_MODEL, MODEL),
    ]
    grant = play.sent[-1].message
    assert (getattr(grant, "model", None), getattr(grant, "reason", None)) == (MODEL, "")


def test_a_full_line_is_passed_over() -> None:
    given = (on(max_queue=1), *node("studio", MODEL, OTHER_MODEL, slots=1))
    full = [received(f"r{n}", MODEL) for n in range(2)]
    asks = received("r9", NOBODYS, fallbacks=(MODEL, OTHER_MODEL))
    assert [each.to for each in after_all(*given, *full, asks)] == [OTHER_MODEL]


def test_its_place_in_the_new_line_is_by_when_it_came() -> None:
    play = book(on(fair_shares=True), *node("studio", MODEL, slots=1), received("r0"))
    play.given(received("r1", app="a"), received("r2", NOBODYS, fallbacks=(MODEL,), app="b"))
    play.given(received("r3", app="a", priority="interactive"))
    assert list(play.state.lines[MODEL].waiting) == ["r3", "r1", "r2"]
    assert sum(share.waiting for share in play.state.lines[MODEL].shares) == 3
    assert NOBODYS not in play.state.lines


def test_a_front_that_has_not_heard_of_the_move_may_name_the_old_model() -> None:
    play = book(on(), *node("studio", MODEL, slots=1), received("r0"))
    play.given(received("r1", NOBODYS, fallbacks=(MODEL,)), cancelled("r1", model=NOBODYS))
    play.check()
    assert play.state.waiting == 0
    assert not play.state.lines[MODEL].waiting


def test_a_retry_stays_with_the_model_that_took_over() -> None:
    play = book(on(), *node("studio", MODEL), *node("mini", MODEL))
    play.given(received("r1", NOBODYS, fallbacks=(MODEL,)))
    where = play.state.requests[rid("r1")].node_id
    play.given(attempt_failed("r1", where, "1.1"))
    play.check()
    request = play.state.requests[rid("r1")]
    assert (request.model, request.lease) == (MODEL, "1.2")
    assert request.node_id != where


def test_a_stream_is_adopted_with_the_model_that_serves_it() -> None:
    play = book(on(), *away("studio", NOBODYS), *node("mini", MODEL), received("r1", NOBODYS))
    carried = LeaseAdopted(
        request_id=rid("r1"),
        model=MODEL,
        node_id=nid("mini"),
        lease=Lease("1.7"),
        front_src=FRONT,
    )
    (waiting := play.state.requests[rid("r1")]).length = Length(100.0, 90.0, 50.0, 200.0)
    play.given(carried)
    assert waiting.length == UNKNOWN, "that was of the other model"
    assert play.state.nodes[nid("mini")].slots[MODEL].in_flight == 1
    assert play.state.waiting == 0
    play.given(completed("r1", "mini", "1.7"))
    assert play.state.nodes[nid("mini")].slots[MODEL].in_flight == 0


# Aliases


def test_an_alias_holds_for_who_wants_no_fallback_and_is_no_fallback() -> None:
    assert (
        book(on(model_aliases="gpt*=llama3.3:70b"), *node("studio", LARGE, slots=1))
        >> received("r1", "gpt-4o:latest", no_fallback=True, route="/v1/chat/completions")
        << moved("r1", "gpt-4o:latest", LARGE, "alias")
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", model=LARGE, reason="alias")
    )


def test_a_list_comes_after_the_model_that_the_name_stands_for() -> None:
    aliases = on(model_aliases=f"gpt*={LARGE}")
    play = book(aliases, *away("studio", LARGE), *node("mini", CHAT, slots=1), received("r0", CHAT))
    play.given(received("r1", "gpt-4o:latest", fallbacks=(CHAT,)))
    play.given(*[unreachable("mini")] * 3, probed("studio", LARGE, resident=(LARGE,)))
    play.check()
    assert [each.to for each in moves(play)] == [LARGE, CHAT, LARGE]
    assert getattr(play.sent[-1].message, "reason", None) == "alias"


def test_an_alias_of_what_nobody_has_is_unknown() -> None:
    assert (
        book(on(model_aliases="gpt*=nowhere"), *node("studio"))
        >> received("r1", "gpt-4o:latest")
        << moved("r1", "gpt-4o:latest", "nowhere:latest", "alias")
        << rejected("r1", 404, "unknown_model", 0.0)
        << refused("r1", 404, "unknown_model")
    )


# In memory, rather than loaded


def cold(name: str = LARGE, **fields: Any) -> RequestReceived:
    """Asks for a model in no memory."""
    told: dict[str, Any] = {"needs": ()}
    return received("r1", name, **told | fields)


BOTH = host("studio", facts(LARGE), facts(CHAT, 4), resident={CHAT: 8192})


def test_a_model_in_memory_serves_where_much_time_is_saved() -> None:
    play = book(on(), *BOTH, cold())
    play.check()
    [move] = moves(play)
    assert (move.to, move.reason) == (CHAT, "vram")
    assert move.saved_s > 10
    assert play.state.requests[rid("r1")].node_id == "studio"


@pytest.mark.parametrize(
    "given",
    [
        (on(vram_fallback=False), *BOTH, cold()),
        (ConfigurationLoaded(settings={}), *BOTH, cold()),
        (on(), *BOTH, cold(no_fallback=True)),
        (on(), *BOTH, cold(needs=None)),
        (on(), *BOTH, cold(needs=("tools",))),
        (on(), *BOTH, cold(needs=("vision",))),
        (on(), *BOTH, cold(num_ctx=16_384)),
        (on(), *BOTH, cold(body_bytes=100_000)),
        (on(), *BOTH, received("r0", CHAT), cold()),
        (on(), *BOTH, KeyAdded(key_name="k", digest="ab", models=(LARGE,)), cold(key_name="k")),
        (on(), *BOTH, *host("mini", facts(LARGE), resident={LARGE: 0}), cold()),
        (on(), *host("studio", facts(LARGE, 9), facts(CHAT, 1), resident={CHAT: 0}), cold()),
        (on(), *host("studio", facts(LARGE), facts(CHAT, 4)), cold()),
        (on(), *away("studio", LARGE), *node("mini", CHAT), cold()),
        *[(on(), *BOTH, cold(route=route)) for route in ("/api/embed", "/v1/embeddings")],
    ],
    ids=str,
)
def test_otherwise_the_asked_model_is_loaded_or_waited_for(given: tuple[Cue, ...]) -> None:
    assert after_all(*given) == []


@pytest.mark.parametrize(
    ("asked", "other", "goes"),
    [
        (facts("big-coder:70b"), facts("small-coder:7b", 4), True),
        (facts("big-coder:70b"), facts("small:7b", 4), False),
        (facts("big:70b", 40, "completion"), facts("x:7b", 4, "completion", "vision"), False),
        (facts("big-r1:70b"), facts("qwq:7b", 4), True),
        (facts("big:70b", 40, "completion", "thinking"), facts("qwq:7b", 4), True),
        (facts("llava:70b"), facts("moondream:7b", 4), True),
        (facts("big:70b"), facts("nomic-embed-text:1b", 4), False),
        (facts("big-embed:70b"), facts("nomic-embed-text:1b", 4), False),
        (facts("vision-by-name:7b", 40, "completion"), facts("x:7b", 4), True),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_categories_are_never_mixed(
    asked: ModelFacts,
    other: ModelFacts,
    goes: bool,  # noqa: FBT001 (drawn)
) -> None:
    given = (on(), *host("studio", asked, other, resident={other.name: 0}))
    assert bool(after_all(*given, cold(asked.name))) is goes


@pytest.mark.parametrize(
    ("capabilities", "goes"),
    [(("completion", "tools"), True), (("completion",), False), ((), False)],
)
def test_no_capability_that_is_used_is_lost(capabilities: tuple[str, ...], goes: bool) -> None:  # noqa: FBT001 (drawn)
    given = host("studio", facts(LARGE), facts(CHAT, 4, *capabilities), resident={CHAT: 0})
    assert bool(after_all(on(), *given, cold(needs=("tools",)))) is goes


def test_of_two_nodes_the_one_that_tells_more_of_a_model_is_believed() -> None:
    told, untold = facts(CHAT, 4, "completion", "tools"), facts(CHAT, 4)
    for first, second in ((told, untold), (untold, told)):
        given = host("ada", facts(LARGE), first, resident={CHAT: 0})
        assert after_all(on(), *given, *host("bob", second), cold(needs=("tools",)))


def test_images_go_to_a_model_that_sees_by_its_name() -> None:
    given = host(
        "studio", facts("llava:70b"), facts("moondream:2b", 4), resident={"moondream:2b": 0}
    )
    [move] = after_all(on(), *given, cold("llava:70b", needs=("vision",)))
    assert move.to == "moondream:2b"


def test_of_several_the_nearest_in_size_serves_but_the_clients_own_choice_first() -> None:
    small = {f"m{gb}:x": gb for gb in (1, 9, 5)}
    models = [facts(name, gb) for name, gb in small.items()]
    given = host("studio", facts(LARGE), *models, resident=dict.fromkeys(small, 0))
    assert [each.to for each in after_all(on(), *given, cold())] == ["m9:x"]
    chosen = cold(fallbacks=("m5:x", "m9:x"))
    assert [each.to for each in after_all(on(), *given, chosen)] == ["m5:x"]


# claude-*, which no node has

CLAUDE = "claude-sonnet-4:latest"


def claude(**fields: Any) -> RequestReceived:
    return cold(CLAUDE, **{"route": "/v1/messages"} | fields)


def test_claude_is_served_by_the_largest_in_memory_that_can_use_tools() -> None:
    able = [facts(name, gb, "completion", "tools") for name, gb in (("a:1", 4), ("b:1", 20))]
    given = host(
        "studio", *able, facts(LARGE, 60, "completion"), facts("d:1", 90, "completion", "tools"),
        resident={"a:1": 65_536, "b:1": 32_768, LARGE: 0},
    )  # fmt: skip
    [move] = after_all(on(), *given, claude())
    assert (move.to, move.reason) == ("b:1", "anthropic")
    [move] = after_all(on(), *given, claude(body_bytes=200_000))
    assert move.to == "a:1", "the other has too small a context"


@pytest.mark.parametrize(
    ("setting", "fields"),
    [
        (on(anthropic_fallback=False), {}),
        (on(), {"no_fallback": True}),
        (on(), {"route": "/v1/chat/completions"}),
        (on(), {"needs": ("vision",)}),
        (on(), {"needs": None}),
    ],
)
def test_claude_is_unknown_otherwise(setting: ConfigurationLoaded, fields: dict[str, Any]) -> None:
    given = host("studio", facts(CHAT, 4, "completion", "tools"), resident={CHAT: 0})
    play = book(setting, *given, claude(**fields))
    assert not play.state.requests
    assert not moves(play)


def test_claude_goes_by_its_alias_first() -> None:
    given = host("studio", facts(CHAT, 4), facts(LARGE, 9, "tools"), resident={CHAT: 0, LARGE: 0})
    found = after_all(on(model_aliases="claude-*=mistral:7b"), *given, claude())
    assert [(each.to, each.reason) for each in found] == [(CHAT, "alias")]
