"""What others have written, on a terminal."""

from herd.terminal import printable


def test_control_characters_of_others_do_nothing() -> None:
    assert printable("ada\x1b[2J\nb\x07\x9b") == "ada?[2J?b??"
    assert printable("größe 7") == "größe 7"
