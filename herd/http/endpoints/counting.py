"""`POST /v1/messages/count_tokens`: about how many tokens a conversation is, told at once.

No node is asked, so nothing waits and nothing is recorded. `X-Herd-Token-Count: estimated` says
what the number is worth.
"""

from typing import Final

from herd.dialects.errors import UntranslatableError
from herd.dialects.messages_asked import estimate_tokens
from herd.dialects.plain import plain
from herd.http import limited, places, problems
from herd.http.exchange import Exchange
from herd.http.opening import open_any
from herd.http.problems import BadRequestError
from herd.link.messages import View

PATH: Final = "/v1/messages/count_tokens"
CLAUDE: Final = "claude"
"""How names begin that herd finds a model for."""


def answer(exchange: Exchange, view: View) -> None:
    """Answer with the estimate; 404 for a model that no node has or stands for."""
    try:
        open_any(exchange.request)
        model, tokens = estimate_tokens(plain(exchange.request.body))
    except BadRequestError as error:
        exchange.refuse(error.status, error.what)
        return
    except UntranslatableError as error:
        exchange.refuse(400, error.what)
        return
    if limited.refuses(exchange, view, model):
        return
    stands = model.lower().startswith(CLAUDE) or places.known(view, places.meant(view, model))
    if not stands:
        exchange.refuse(404, f"model '{model}' not found")
        return
    headers = (problems.JSON, (b"X-Herd-Token-Count", b"estimated"))
    exchange.respond(200, headers, b'{"input_tokens":%d}' % tokens)
