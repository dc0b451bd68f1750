"""Every reason that herd can give has its words."""

from typing import get_args

from events import Rejection
from herd.replay import wording

BY_THEIR_STATE = {"queue_full", "still_pulling", "pull_failed"}


def test_every_rejection_is_explained() -> None:
    assert {*vars(wording)["_REJECTED"], *BY_THEIR_STATE} == {*get_args(Rejection)}
