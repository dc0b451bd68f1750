"""What a demo tells of a balancer that ended."""

import pytest

from herd.demo.demo import last_words


@pytest.mark.parametrize(
    ("said", "what", "next_step"),
    [
        (
            "herd: port 1 is taken by x (pid 2)\n      choose another one: herd run --port N\n",
            "port 1 is taken by x (pid 2)",
            "choose another one: herd demo --port N",
        ),
        ("herd: no node yet\nherd: the disk is full\n", "the disk is full", ""),
        ("Usage: herd run\n\nError: No such option: --x\n", "No such option: --x", ""),
        ("Traceback:\n  what\n", "Traceback:", "what"),
        ("", "the balancer ended, and did not say why", ""),
    ],
)
def test_the_last_error_is_told_without_its_mark(said: str, what: str, next_step: str) -> None:
    error = last_words(said)
    assert (error.what, error.next_step) == (what, next_step)
