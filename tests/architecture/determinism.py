"""Finds what could make replay differ from life: a linter for `actors/core`.

The same log must lead to the same decisions on every machine and every Python. So the core does
not add floats with `sum` (3.12 changed it), does not compare results of `exp`, `log` or powers
(the C library's business), does not walk over sets (their order is chance), does not hash, draw,
format floats or keep anything outside the state.
"""

import ast
from collections.abc import Iterator

MODULES = {
    "actors.core", "bisect", "collections", "collections.abc", "contextlib", "dataclasses",
    "enum", "events", "functools", "hashlib", "heapq", "itertools", "math", "msgspec",
    "operator", "typing",
}  # fmt: skip
"""What the core may import, with everything in it but what follows."""

NAMES = {
    "collections.ChainMap", "functools.cache", "functools.cached_property", "functools.lru_cache",
    "itertools.tee", "operator.pow",
}  # fmt: skip
"""What it may not take from them."""

MATH = {"ceil", "copysign", "floor", "fsum", "inf", "isfinite", "isinf", "isnan", "sqrt", "trunc"}
"""What of `math` is exact everywhere, or correctly rounded (IEEE 754, 5.4.1: square roots)."""

CALLS = {
    "eval", "exec", "format", "globals", "hash", "id", "input", "locals", "open", "pow", "print",
    "sum", "vars",
}  # fmt: skip

WALKERS = {
    "deque", "dict", "enumerate", "filter", "iter", "list", "map", "reversed", "tuple", "zip",
}  # fmt: skip
"""Calls whose outcome depends on the order of a walk; that of `sorted`, `len`, `min` does not."""

SETS = {"AbstractSet", "FrozenSet", "MutableSet", "Set", "frozenset", "set"}

WALKS = {"difference", "intersection", "symmetric_difference", "union"}
"""Methods that make a set of a set."""


def offences(source: str) -> list[str]:
    """Return what is wrong with a module of the core: `line: what`, in order."""
    tree = ast.parse(source)
    found = [*_imports(tree), *_calls(tree), *_arithmetic(tree), *_texts(tree), *_sets(tree)]
    found += _state(tree)
    return [f"{line}: {what}" for line, what in sorted(set(found))]


Offence = tuple[int, str]


def _imports(tree: ast.Module) -> Iterator[Offence]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            allowed = any(name == each or name.startswith(f"{each}.") for each in MODULES)
            if not allowed or name in NAMES:
                yield node.lineno, f"import of {name}"
            if name.startswith("math.") and name.removeprefix("math.") not in MATH:
                yield node.lineno, f"import of {name}"


def _calls(tree: ast.Module) -> Iterator[Offence]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield node.lineno, f"call of {name}()"
            case ast.Attribute(value=ast.Name(id="math"), attr=name) if name not in MATH:
                yield node.lineno, f"use of math.{name}"
            case ast.Attribute(value=ast.Name(id="functools"), attr=name) if (
                f"functools.{name}" in NAMES
            ):
                yield node.lineno, f"use of functools.{name}"
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield node.lineno, "waiting"
            case _:
                pass


def _arithmetic(tree: ast.Module) -> Iterator[Offence]:
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Pow()) | ast.AugAssign(op=ast.Pow()):
                yield node.lineno, "a power"
            case _:
                pass


def _texts(tree: ast.Module) -> Iterator[Offence]:
    for node in ast.walk(tree):
        match node:
            case ast.FormattedValue(format_spec=ast.JoinedStr()):
                yield node.lineno, "a formatted number"
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()), attr="format")):
                yield node.lineno, "a formatted number"
            case ast.BinOp(left=ast.Constant(value=str() | bytes()), op=ast.Mod()):
                yield node.lineno, "a formatted number"
            case _:
                pass


def _state(tree: ast.Module) -> Iterator[Offence]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield node.lineno, "state outside the state"
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        empty = isinstance(value, ast.List | ast.Dict) and not ast.unparse(value).strip("[]{}")
        if empty or (isinstance(value, ast.Call) and ast.unparse(value) in {"set()", "dict()"}):
            yield node.lineno, "state outside the state"


def _sets(tree: ast.Module) -> Iterator[Offence]:
    known = _set_names(tree)
    for node in ast.walk(tree):
        if any(_is_set(walked, known) for walked in _walked(node)):
            yield getattr(node, "lineno", 0), "a walk over a set"


def _walked(node: ast.AST) -> list[ast.expr]:
    """Return what this piece of code walks over, in an order that its outcome depends on."""
    match node:
        case ast.For(iter=walked) | ast.Starred(value=walked) | ast.YieldFrom(value=walked):
            return [walked]
        case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
            return [part.iter for part in node.generators]
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in WALKERS:
            return arguments
        case ast.Call(func=ast.Attribute(value=walked, attr="pop"), args=[]):
            return [walked]
        case ast.Call(func=ast.Attribute(attr="join" | "extend" | "fromkeys"), args=arguments):
            return arguments
        case _:
            return []


def _is_set(node: ast.expr, known: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in known
        case ast.Call(func=ast.Name(id=name)):
            return name in SETS
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in WALKS
        case ast.BinOp(
            left=left, right=right, op=ast.BitAnd() | ast.BitOr() | ast.BitXor() | ast.Sub()
        ):
            return any(_is_set(side, known) or _is_keys(side) for side in (left, right))
        case ast.IfExp(body=body, orelse=orelse):
            return _is_set(body, known) or _is_set(orelse, known)
        case _:
            return False


def _is_keys(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="keys" | "items")):
            return True
        case _:
            return False


def _set_names(tree: ast.Module) -> set[str]:
    """Return the variables, fields and parameters of this module that hold sets."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name)):
                annotation: ast.expr | None = node.annotation
            case ast.arg(arg=name):
                annotation = node.annotation
            case ast.Assign(targets=[ast.Name(id=name) | ast.Attribute(attr=name)], value=value):
                annotation = None
                if isinstance(value, ast.Set | ast.SetComp) or (
                    isinstance(value, ast.Call)
                    and isinstance(value.func, ast.Name)
                    and value.func.id in {"set", "frozenset"}
                ):
                    names.add(name)
            case _:
                continue
        if annotation is not None and ast.unparse(annotation).partition("[")[0] in SETS:
            names.add(name)
    return names
