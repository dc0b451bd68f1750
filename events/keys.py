"""What happened to API keys: of a key itself only its digest is ever in an event."""

from events.base import Event
from events.requests import Priority


class KeyAdded(Event, frozen=True, tag="key_added"):
    """A key was made; who shows it may ask for a model, within these bounds."""

    key_name: str
    """What events call it, and whoever shows it."""
    digest: str
    """SHA-256 of the key, in hex: of 32 random bytes, so nobody finds the key by it."""
    models: tuple[str, ...] = ()
    """Names of models, in which `*` is any text; none means all."""
    per_minute: int = 0
    """Requests a minute; as many may come at once. 0: as many as there are."""
    tokens_a_day: int = 0
    """Of prompts and answers, a day of UTC. 0: as many as there are."""
    priority: Priority = "normal"
    """The highest that its requests may have, and what they have unless they ask for less."""
    by: str = ""


class KeyRevoked(Event, frozen=True, tag="key_revoked"):
    """A key opens nothing any more; what it asked for before goes on to its end."""

    key_name: str
    by: str = ""
