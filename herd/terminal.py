"""What others have written, on a terminal."""


def printable(text: str) -> str:
    """Take away what a name that somebody else chose could do to the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
