from pathlib import Path

import pytest

from tests.architecture.determinism import offences
from tests.architecture.tree import ROOT, name, text

CORE = sorted((ROOT / "actors" / "core").glob("*.py"))


def test_there_is_a_core() -> None:
    assert len(CORE) > 5


@pytest.mark.parametrize("path", CORE, ids=name)
def test_the_core_decides_alike_everywhere(path: Path) -> None:
    assert offences(text(path)) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import time",
        "import random",
        "from statistics import mean",
        "from functools import lru_cache",
        "from math import exp",
        "x = math.log(2)",
        "x = math.cbrt(2) * math.pow(2, 0.5)",
        "x = sum([0.1, 0.2])",
        "x = hash('node')",
        "x = id(node)",
        "x = pow(2, 3)",
        "x = 2 ** n",
        "x **= 2",
        "x = f'{wait:.2f}'",
        "x = f'{wait:>{width}}'",
        "x = '{:.1f}'.format(wait)",
        "x = '%.1f' % wait",
        "x = b'%d' % wait",
        "for node in {1, 2}: pass",
        "for node in set(nodes): pass",
        "for node in frozenset(nodes): pass",
        "for node in a.keys() & b.keys(): pass",
        "for node in seen | {1}: pass",
        "for node in seen.union(others): pass",
        "def f():\n    seen = set()\n    for node in seen: pass",
        "seen: set[str] = make()\nfor node in seen: pass",
        "class S:\n    seen: set[str]\ndef f(s):\n    return [n for n in s.seen]",
        "def f(seen: frozenset[str]):\n    return list(seen)",
        "def f(seen: set[str]):\n    return next(iter(seen))",
        "def f(seen: set[str]):\n    return seen.pop()",
        "def f(seen: set[str]):\n    return (*seen, 1)",
        "def f(seen: set[str]):\n    yield from seen",
        "def f(seen: set[str]):\n    return ','.join(seen)",
        "x = {n: 1 for n in {2, 3}}",
        "x = dict.fromkeys({2, 3})",
        "waiting = {}",
        "waiting: list[str] = []",
        "def f():\n    global waiting",
        "async def f(): pass",
    ],
)
def test_what_would_differ_is_found(planted: str) -> None:
    assert offences(planted), planted


@pytest.mark.parametrize(
    "sound",
    [
        "from math import fsum, inf",
        "import math\nx = math.sqrt(2)",
        "import math\nx = math.floor(2.5) + math.fsum([0.1])",
        "from events import Recorded\nfrom actors.core.state import State",
        "from hashlib import blake2b",
        "x = f'{node}/{model}'",
        "x = 7 % 2",
        "def f():\n    seen = set()\n    seen.add(1)\n    return sorted(seen)",
        "def f(seen: set[str]):\n    return len(seen), min(seen), 1 in seen, sorted(seen)",
        "def f(seen: set[str]):\n    return {n for n in seen}",
        "for node in sorted(a.keys() & b.keys()): pass",
        "for node in {'a': 1}: pass",
        "for node in nodes.values(): pass",
        "waiting.pop()",
        "POLICIES = {'resident-first/1': place}",
    ],
)
def test_what_is_sound_is_let_through(sound: str) -> None:
    assert offences(sound) == []
