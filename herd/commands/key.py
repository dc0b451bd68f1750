"""`herd key add`, `list` and `revoke`: the API keys of the running balancer."""

import secrets
from datetime import UTC, datetime

import click
import msgspec

from herd.admin import send
from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.status import ask, balancer_url, read
from herd.http.endpoints.keys import PATH
from herd.http.keyring import digest
from herd.tables import show

EXAMPLES = """\b
Examples:
  herd key add laptop --models "llama3*,qwen3:8b" --rate 60
  curl -H "Authorization: Bearer herd-..." http://HOST:11435/v1/models
"""
PREFIX = "herd-"
KEY_BYTES = 32
_HEADER = "NAME MODELS A-MINUTE TOKENS-A-DAY PRIORITY TODAY TOKENS REQUESTS SINCE"


class _Key(msgspec.Struct):
    name: str
    models: list[str]
    requests_per_minute: int
    tokens_per_day: int
    priority: str
    added_at: float
    requests: int
    tokens: int
    tokens_today: int


class _Keys(msgspec.Struct):
    keys: list[_Key]


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Make API keys, list them with what they have used, revoke them.

    While there is no key, whoever is on the local network is served. From the first key on,
    everybody who asks a model has to show one.
    """


@command.command()
@click.argument("name")
@click.option("--models", default="", help="Names of models, with commas; * is any text. Else all.")
@click.option("--rate", type=click.IntRange(0), default=0, help="Requests a minute. Else no limit.")
@click.option(
    "--tokens-per-day",
    type=click.IntRange(0),
    default=0,
    help="Of prompts and answers, a day of UTC. Else no limit.",
)
@click.option(
    "--priority",
    type=click.Choice(["interactive", "normal", "batch"]),
    default="normal",
    help="Of its requests; X-Herd-Priority can ask for less, not for more.",
)
@url_option
@data_dir_option
@json_option
def add(  # noqa: PLR0913 (one parameter an option)
    *,
    name: str,
    models: str,
    rate: int,
    tokens_per_day: int,
    priority: str,
    url: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Make a key, and show it: once, since herd keeps only its digest."""
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    asked = {
        "name": name,
        "digest": digest(key.encode("ascii")),
        "models": models.replace(",", " ").split(),
        "requests_per_minute": rate,
        "tokens_per_day": tokens_per_day,
        "priority": priority,
    }
    answer = send(_address(url, data_dir), "POST", PATH, asked)
    if as_json:
        click.echo(msgspec.json.encode({"name": name, "key": key}).decode())
        return
    click.echo(key)
    click.echo(f"This is the key of {name}; nobody can show it again.", err=True)
    if answer["keys"] == 1:
        click.echo(
            "It is the first one: from now on, nobody is served without a key "
            "(FLEET_KEYLESS=local serves local peers all the same).",
            err=True,
        )


@command.command(name="list")
@url_option
@data_dir_option
@json_option
def list_keys(*, url: str | None, data_dir: str | None, as_json: bool) -> None:
    """List the keys, with their limits and what they have used."""
    address = _address(url, data_dir)
    body = ask(address, PATH)
    if as_json:
        click.echo(body.decode())
        return
    keys = read(address, body, _Keys).keys
    if not keys:
        click.echo("no key; `herd key add NAME` makes one")
        return
    show(_HEADER.split(), [_row(key) for key in keys])


@command.command()
@click.argument("name")
@url_option
@data_dir_option
@json_option
def revoke(*, name: str, url: str | None, data_dir: str | None, as_json: bool) -> None:
    """End a key: it opens nothing from now on."""
    answer = send(_address(url, data_dir), "DELETE", PATH, {"name": name})
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
        return
    click.echo(f"{name} opens nothing any more")
    if answer["keys"] == 0:
        click.echo(
            "It was the last one: local peers are served without a key again, unless "
            "FLEET_KEYLESS=never.",
            err=True,
        )


def _address(url: str | None, data_dir: str | None) -> str:
    return url.rstrip("/") if url else balancer_url(data_dir)


def _row(key: _Key) -> list[str]:
    since = datetime.fromtimestamp(key.added_at, UTC).strftime("%Y-%m-%d")
    return [
        key.name,
        ",".join(key.models) or "all",
        str(key.requests_per_minute or "-"),
        str(key.tokens_per_day or "-"),
        key.priority,
        str(key.tokens_today),
        str(key.tokens),
        str(key.requests),
        since,
    ]
