"""What a body uses of a model, as Ollama calls its capabilities: `tools`, `vision`.

Found by what only such a body holds, unparsed; where that errs, it says that more is used.
"""

import re
from typing import Final

_TOOLS: Final = re.compile(rb'"tools"\s*:\s*\[\s*[^\s\]]')
_IMAGES: Final = re.compile(rb'"images"\s*:\s*\[\s*[^\s\]]|"(?:input_)?image(?:_url)?"')


def needs_of(body: bytes) -> tuple[str, ...]:
    """Return the capabilities that a body uses."""
    tools = ("tools",) if _TOOLS.search(body) else ()
    return (*tools, "vision") if _IMAGES.search(body) else tools
