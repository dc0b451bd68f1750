"""What a simulated model says: plain sentences that admit it, and vectors. Pure.

The same prompt gives the same answer on the same node, and an answer of the same length on all.
"""

import hashlib
import struct
from functools import lru_cache

from herd.simulator.hardware import NodeSpec

_SENTENCES = (
    "No model was asked, and no graphics card became warm.",
    "The words are fixed, while the times follow the memory and the arithmetic of the machine.",
    "Each word stands for one token.",
    "A larger model would say the same, only later.",
    "If other requests run beside this one, the gaps between the words grow.",
    "The first word took longer, because the whole prompt had to be read before it.",
    "Had the model not been resident, it would have been loaded from the disk first.",
    "Nothing here should be believed, except the timing.",
    "Ask again, and the answer has the same length.",
    "A real node takes the place of this one without any change.",
)
_ENDS = tuple(tuple(f" {word}" for word in sentence.split()) for sentence in _SENTENCES)


def digest(spec: NodeSpec, model: str, text: str) -> int:
    """Return the number from which everything about an answer is drawn."""
    said = f"{spec.seed}\0{model}\0{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little")


def natural_tokens(spec: NodeSpec, drawn: int) -> int:
    """Return how long the answer would be if nobody bounded it."""
    shortest, longest = spec.answer_tokens
    unit = (drawn >> 16) / (1 << 48)
    return shortest + round((longest - shortest) * unit * unit)


@lru_cache(maxsize=256)
def pieces(node: str, drawn: int, tokens: int, *, json: bool = False) -> tuple[str, ...]:
    """Return an answer as its tokens, exactly so many."""
    said = [*_opening(node, json=json)]
    turn = drawn % len(_ENDS)
    while len(said) < tokens:
        said.extend(_ENDS[turn])
        turn = (turn + 1) % len(_ENDS)
    del said[tokens:]
    if said:
        said[-1] = said[-1].rstrip(".,") + ('."}' if json else ".")
    return tuple(said)


def _opening(node: str, *, json: bool) -> list[str]:
    words = f"This is a simulated answer from {node}.".split()
    first = '{"answer": "This' if json else "This"
    return [first, *(f" {word}" for word in words[1:])]


@lru_cache(maxsize=256)
def vector(model: str, text: str, length: int) -> tuple[float, ...]:
    """Return a unit vector that stands for a text."""
    said = f"{model}\0{text}".encode("utf-8", "surrogatepass")
    drawn = struct.unpack(f"<{length}i", hashlib.shake_128(said).digest(4 * length))
    norm = sum(number * number for number in drawn) ** 0.5
    return tuple(number / norm for number in drawn)
