"""Names that stand for models: patterns, spellings, and which of several counts."""

import pytest

from actors.core.aliases import meant

CHAT = "mistral:7b"
LARGE = "llama3.3:70b"


@pytest.mark.parametrize(
    ("aliases", "asked", "to"),
    [
        ("gpt-4*=llama3.3:70b", "gpt-4o:latest", LARGE),
        (" GPT-4o = LLAMA3.3:70b ", "gpt-4o:latest", LARGE),
        ("a=b,*-mini=mistral:7b", "gpt-4o-mini:latest", CHAT),
        ("g*4*i=mistral:7b", "gpt-4o-mini:latest", CHAT),
        ("g*zz*i=mistral:7b,gpt*=llama3.3:70b", "gpt-4o-mini:latest", LARGE),
        ("gpt-4o-mi*ini=mistral:7b", "gpt-4o-mini:latest", None),
        ("gpt=llama3.3:70b", "gpt-4o:latest", None),
        ("mini=llama3.3:70b,m*=m", "mini:1b", "m:latest"),
        ("mistral*=mistral:7b", CHAT, None),
    ],
)
def test_a_name_may_stand_for_a_model(aliases: str, asked: str, to: str | None) -> None:
    assert meant(aliases, asked, (LARGE, CHAT)) == (to or asked)
