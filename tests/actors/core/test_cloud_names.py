"""Names of Ollama's cloud that no node lists: pulled by a node that lists others of them."""

import pytest

from events import (
    CONTROL,
    ModelFacts,
    NodeProbed,
    PullEnded,
    PullOutcome,
    PullStarted,
    SettingsChanged,
)
from tests.actors.cast import (
    MODEL,
    book,
    configured,
    nid,
    node,
    received,
    refused,
    rejected,
    rid,
    settings,
)
from tests.playbook import Cue, Playbook, by, like

CLOUD, OTHER = "gpt-oss:120b-cloud", "kimi-k2:cloud"
ON = settings(cloud_names=True)


def lists(name: str, *clouds: str, reachable: bool = True) -> NodeProbed:
    """A node has a model of its own, and these names of the cloud."""
    far = tuple(ModelFacts(name=each, size_bytes=384, remote_model=each) for each in clouds)
    own = ModelFacts(name=MODEL, size_bytes=2_000_000_000)
    return NodeProbed(node_id=nid(name), reachable=reachable, resident=(), models=(own, *far))


def a_fleet(*given: Cue) -> Playbook:
    """Of two nodes one is signed in."""
    return book(ON, *node("attic"), configured("studio"), lists("studio", OTHER), *given)


def pulled(told: Playbook) -> list[tuple[str, str]]:
    return [(pull.node_id, pull.model) for pull in told.state.pulls.values()]


def ended(told: Playbook, outcome: PullOutcome) -> Cue:
    (name,) = told.state.pulls
    return by(
        CONTROL,
        PullEnded(pull_id=name, model=CLOUD, node_id=nid("studio"), outcome=outcome),
    )


def test_it_is_pulled_where_others_are_and_then_served() -> None:
    told = a_fleet()
    told.given(received("r1", CLOUD), received("r2", CLOUD))
    assert pulled(told) == [("studio", CLOUD)]
    told.given(lists("studio", OTHER, CLOUD), ended(told, "done"))
    assert [told.state.requests[rid(name)].node_id for name in ("r1", "r2")] == ["studio"] * 2
    told.check()


def test_a_pull_in_vain_ends_the_wait() -> None:
    told = a_fleet()
    told.given(received("r1", CLOUD))
    assert (
        told
        >> ended(told, "failed")
        << rejected("r1", 404, "pull_failed", 0.0)
        << refused("r1", 404, "pull_failed")
        >> received("r2", CLOUD)
        << rejected("r2", 404, "pull_failed", 0.0)
        << refused("r2", 404, "pull_failed")
    )


@pytest.mark.parametrize("model", ["cloud", "cloud:7b", "nobody:7b", "a:7b-clouds"])
def test_other_names_are_unknown(model: str) -> None:
    told = a_fleet()
    assert (
        told
        >> received("r1", model)
        << rejected("r1", 404, "unknown_model", 0.0)
        << refused("r1", 404, "unknown_model")
    )


@pytest.mark.parametrize("model", ["Kimi-K2.5:CLOUD", "q:480b-Cloud"])
def test_case_does_not_matter(model: str) -> None:
    told = a_fleet()
    told.given(received("r1", model))
    assert pulled(told) == [("studio", model)]


def test_where_no_node_lists_any_it_is_unknown() -> None:
    told = book(ON, *node("attic"))
    assert (
        told
        >> received("r1", CLOUD)
        << rejected("r1", 404, "unknown_model", 0.0)
        << refused("r1", 404, "unknown_model")
    )


def test_names_of_other_registries_are_not_pulled() -> None:
    told = a_fleet()
    assert (
        told
        >> received("r1", "evil.example/me/model:cloud")
        << rejected("r1", 404, "pull_failed", 0.0)
        << refused("r1", 404, "pull_failed")
    )


def test_it_is_off_in_logs_of_before() -> None:
    told = a_fleet(SettingsChanged(key="cloud_names", old=True, new=False))
    told.given(received("r1", CLOUD))
    assert not told.state.pulls


def test_with_auto_pull_a_name_goes_to_a_node_that_is_signed_in() -> None:
    told = a_fleet(SettingsChanged(key="auto_pull", old=False, new=True))
    told.given(received("r1", CLOUD))
    assert pulled(told) == [("studio", CLOUD)]
    told = book(settings(cloud_names=True, auto_pull=True), *node("attic"))
    assert told >> received("r1", CLOUD) << like(PullStarted, model=CLOUD, node_id=nid("attic"))
