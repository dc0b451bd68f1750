"""Names of nodes: harmless wherever they are shown."""

import pytest

from herd.agent.identity import checked_node_id, default_node_id


@pytest.mark.parametrize("name", ["studio", "a", "Mac-Studio.local", "node_1", "x" * 64])
def test_a_good_name_is_kept(name: str) -> None:
    assert checked_node_id(name) == name


@pytest.mark.parametrize(
    "name", ["", "x" * 65, "a b", "<b>", "a\r\nX-Y: z", "a\n", "knöd", "a/b", "a:b", '"']
)
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a node id has 1 to 64 letters"):
        checked_node_id(name)


@pytest.mark.parametrize(
    ("hostname", "name"),
    [
        ("studio.fritz.box", "studio"),
        ("Anna's Mac (2)", "Anna-s-Mac-2"),
        ("", "node"),
        (".", "node"),
        ("ü", "node"),
        ("h" * 80, "h" * 64),
    ],
)
def test_this_machines_name_is_made_a_good_one(hostname: str, name: str) -> None:
    assert default_node_id(hostname) == name
    assert checked_node_id(default_node_id(hostname)) == name


def test_this_machine_has_one() -> None:
    assert checked_node_id(default_node_id())
