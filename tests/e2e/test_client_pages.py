"""What the pages of `docs/clients` tell people to set leads to answers."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.docs import markdown
from tests.docs.pages import DOCS
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, SIMULATED, SMALL
from tests.e2e.wire import ask, chat

PAGES = sorted((DOCS / "clients").glob("*.md"))
USUAL = "http://localhost:11435"
ADDRESS = re.compile(r"https?://[\w.]+:11435[\w/]*")


def page(name: str) -> Path:
    return DOCS / "clients" / f"{name}.md"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_address_is_one_that_herd_answers(herd: Herd, path: Path) -> None:
    found = set(ADDRESS.findall(path.read_text("utf-8")))
    assert found
    for address in found:
        host, _, route = address.partition("://")[2].partition("/")
        assert route in {"", "v1", "api/chat"}
        listed = "/v1/models" if route == "v1" else "/api/tags"
        host = host.replace("HOST", "192.168.0.7")
        assert ask(herd.url, listed, headers={"Host": host}).status == 200, address


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_every_model_is_one_of_the_demo(path: Path) -> None:
    named = set(re.findall(r"(?:llama|qwen|nomic)[\w.-]*(?::\w+)", path.read_text("utf-8")))
    assert named <= {BIG, SMALL, f"{EMBED}:latest"}


def test_codex_is_told_where_responses_are(herd: Herd) -> None:
    [text] = markdown.blocks(page("codex"), "toml")
    told = tomllib.loads(text)
    provider = told["model_providers"][told["model_provider"]]
    assert provider["wire_api"] == "responses"
    route = provider["base_url"].removeprefix(USUAL)
    listed = ask(herd.url, f"{route}/models").json["data"]
    assert told["model"] in {row["id"] for row in listed}
    body = {"model": told["model"], "input": "hello", "tools": [{"type": "web_search"}]}
    answer = ask(herd.url, f"{route}/{provider['wire_api']}", body)  # the nodes have no such route
    assert answer.json["output"][0]["content"][0]["text"].startswith(SIMULATED)
    assert answer.headers["x-herd-left-out"] == "tools.web_search"


def test_claude_code_is_answered_at_its_address(herd: Herd) -> None:
    [text] = markdown.blocks(page("claude-code"), "sh")
    told = dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())
    assert told["ANTHROPIC_BASE_URL"] == USUAL
    for name in ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL"):
        body = chat(told[name], max_tokens=7)
        answer = ask(herd.url, "/v1/messages?beta=true", body)
        assert answer.status == 200, answer.body
        assert answer.json["content"][0]["text"].startswith(SIMULATED)


def test_n8ns_request_is_answered(herd: Herd) -> None:
    [text] = markdown.blocks(page("n8n"), "json")
    told = json.loads(text)
    path = told["url"].removeprefix(USUAL)
    answer = ask(herd.url, path, told["body"], method=told["method"], headers=told["headers"])
    assert answer.json["message"]["content"].startswith(SIMULATED)
