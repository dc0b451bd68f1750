"""What a translation cannot do: the client's fault, or the node's."""

from herd.errors import HerdError


class UntranslatableError(HerdError):
    """A client's body that says nothing, or what the other API has no words for: a 400."""


class GarbledError(HerdError):
    """A node's answer that is not what its API promises."""
