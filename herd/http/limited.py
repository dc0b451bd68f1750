"""What one who shows an API key gets to see of the models: those that the key is for.

A name, or the model that it stands for, has to fit one of the key's patterns: as in control, which
decides of requests (`actors.core.keying`). Other models are not listed, and not described (403).
"""

from typing import Final

from msgspec.structs import replace

from actors.core.aliases import fits
from herd.http import places, problems
from herd.http.exchange import Exchange
from herd.link.messages import KeyView, View

_FORBIDDEN: Final = 403


def seen(view: View, key: KeyView | None) -> View:
    """Return the view with the models of that key only; all of it for one that is for all."""
    if key is None or not key.models:
        return view
    nodes = (
        replace(
            node,
            models=tuple(each for each in node.models if _allows(key, each.name)),
            resident=tuple(each for each in node.resident if _allows(key, each.name)),
        )
        for node in view.nodes
    )
    return replace(view, nodes=tuple(nodes))


def patterns(exchange: Exchange) -> tuple[str, ...]:
    """Return what limits who asks; nothing for one who may see all."""
    return exchange.key.models if exchange.key else ()


def refuses(exchange: Exchange, view: View, model: str) -> bool:
    """Answer that its key is not for a model, if that is so; return whether it is."""
    key = exchange.key
    if key is None or not key.models or _allows(key, model):
        return False
    if _allows(key, places.spelled(view, model)) or _allows(key, places.meant(view, model)):
        return False
    text = problems.refusal("key_model", model=model, detail="", online=True)
    exchange.refuse(_FORBIDDEN, text)
    return True


def _allows(key: KeyView, model: str) -> bool:
    return any(fits(pattern, model) for pattern in key.models)
