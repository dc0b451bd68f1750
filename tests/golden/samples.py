"""Plausible events of each kind, with every field at a value that is not its default."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from events import Event

REQUEST_ID = "019ab3c2-7a10-7c3e-9d52-6b1f0c9a4e77"

PLAUSIBLE: dict[str, Any] = {
    "actor": "scheduler",
    "agent_version": "0.1.0",
    "app": "notebook",
    "arch": "arm64",
    "asked_model": "LLAMA3.3:70B",
    "bandwidth_bytes_per_s": 800_000_000_000,
    "by": "cli",
    "capabilities": ("completion", "tools"),
    "chip": "Apple M2 Ultra",
    "client": "192.168.7.21",
    "context_length": 131_072,
    "digest": "a6eb4748fd2990ad2952b2335a95a7f952d1a06119a0aa6a2df6cd052a93a3fa",
    "error": 'connection refused: "studio" at 11434',
    "expires_at": "2026-11-23T23:31:07.5+01:00",
    "families": ("llama",),
    "family": "llama",
    "finish": "length",
    "format": "gguf",
    "front_src": "f1-6b3c01",
    "key": "FLEET_QUEUE_LIMIT",
    "key_name": "laptop",
    "lease": "3.1207",
    "memory_bytes": 206_158_430_208,
    "model": "llama3.3:70b",
    "modified_at": "2026-11-20T09:15:00Z",
    "name": "llama3.3:70b",
    "node_id": "studio",
    "node_key": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "parameter_size": "70.6B",
    "parent_model": "llama3.3:base",
    "policy": "least-wait/2",
    "progress": ((REQUEST_ID, 117), ("019ab3c2-7a11-7000-8000-000000000000", 0)),
    "quantization_level": "Q4_K_M",
    "request_id": REQUEST_ID,
    "route": "/v1/chat/completions",
    "settings": {"FLEET_QUEUE_LIMIT": 512, "FLEET_HOLD_S": 30.5, "FLEET_LOG": "", "FLEET_X": True},
    "size_bytes": 42_520_413_916,
    "size_vram_bytes": 44_530_220_032,
    "state": msgspec.Raw(b'{"nodes":{},"queues":{}}'),
    "status": 502,
    "url": "http://studio.local:11434",
    "version": "0.1.0",
    "vram_bytes": 154_618_822_656,
    "waiting": (REQUEST_ID,),
}
"""By field name; everything else is made from its type."""


def samples(kind: type[Event]) -> Iterator[tuple[str, Event]]:
    """Yield a full event of that kind, then one for each further word that a field may hold.

    With each comes the field that makes it different, "" for the first.
    """
    full = kind(**_filled(kind))
    yield "", full
    for field in _info(kind).fields:
        if isinstance(field.type, inspect.LiteralType):
            for word in field.type.values:
                if word not in (field.default, getattr(full, field.name)):
                    yield field.name, msgspec.structs.replace(full, **{field.name: word})


def _filled(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.name: PLAUSIBLE[field.name]
        if field.name in PLAUSIBLE
        else _value(field.type, field, place)
        for place, field in enumerate(_info(struct).fields, start=1)
    }


def _info(struct: type[msgspec.Struct]) -> inspect.StructType:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return info


def _value(kind: inspect.Type, field: inspect.Field, place: int) -> Any:
    match kind:
        case inspect.BoolType():
            return field.default is not True
        case inspect.IntType():
            return place + 1
        case inspect.FloatType():
            return place + 0.25
        case inspect.StrType():
            return field.name.replace("_", "-")
        case inspect.LiteralType(values=values):
            return next(value for value in values if value != field.default)
        case inspect.UnionType(types=types):
            given = [each for each in types if not isinstance(each, inspect.NoneType)]
            return _value(given[0], field, place)
        case inspect.VarTupleType(item_type=item):
            return (_value(item, field, place),)
        case inspect.StructType(cls=struct):
            return struct(**_filled(struct))
        case _:
            raise TypeError(f"say what is plausible for {field.name}: {kind}")
