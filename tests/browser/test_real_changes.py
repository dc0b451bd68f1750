"""Every tab of a real herd's page changes soon after what concerns it has happened."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.browser.conftest import Page
from tests.browser.fleets import running, two_nodes
from tests.e2e.herds import Herd, until
from tests.e2e.nodes import EMBED, MIDDLE, SMALL, Nodes
from tests.e2e.wire import ask, chat

OPENS_S = 20.0
"""logd may still be on its way."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as started:
        yield started


@pytest.fixture(scope="module")
def herd(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    """A herd that has answered a request, and says so."""
    with running(tmp_path_factory.mktemp("herd"), nodes) as started:
        ask(started.url, "/api/chat", chat(SMALL))
        assert until(lambda: _total(started) == 1, OPENS_S)
        yield started


def _total(herd: Herd) -> int:
    found = ask(herd.url, "/dashboard/api/overview").json
    return int(found.get("total_requests", 0))


def _post(herd: Herd, path: str, **body: object) -> None:
    ask(herd.url, f"/dashboard/api/{path}", json.dumps(body).encode())


Happens = Callable[[Herd], str]
"""Does something, and returns what is then to be read."""


def _tagged(tag: str) -> Happens:
    def happens(herd: Herd) -> str:
        ask(herd.url, "/api/chat", chat(SMALL) | {"metadata": {"tags": [tag]}})
        return tag

    return happens


def _asked_for(model: str, path: str, word: str) -> Happens:
    def happens(herd: Herd) -> str:
        ask(herd.url, path, {"model": model, "input": "hello"} | chat(model))
        return word

    return happens


def _counted(herd: Herd) -> str:
    before = _total(herd)
    ask(herd.url, "/api/chat", chat(SMALL))
    return f"requests, as far as the log goes\n{before + 1}"


def _counted_today(herd: Herd) -> str:
    before = _total(herd)
    ask(herd.url, "/api/chat", chat(SMALL))
    return f"requests, 24 h\n{before + 1}"


def _benchmark(herd: Herd) -> str:
    _post(herd, "benchmarks/start", duration=5)
    return "Cancel"


def _set(herd: Herd) -> str:
    _post(herd, "settings", max_queue=77)
    return "default 512"


# The benchmark is last: its requests would be counted by the others.
TABS: dict[str, tuple[str, Happens]] = {
    "overview": ("Just ended", _tagged("a-new-app")),
    "trends": ("Requests an hour", _counted),
    "models": ("Answers a day", _asked_for(MIDDLE, "/api/chat", f"{MIDDLE}\t1\t")),
    "apps": ("Requests a day", _tagged("my-app")),
    "health": ("100 of 100", _counted_today),
    "recommendations": ("Room on each node", _asked_for(EMBED, "/api/embed", EMBED)),
    "settings": ("Can change now", _set),
    "benchmarks": ("No benchmark yet", _benchmark),
}


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_changes(tab: str, page: Page, herd: Herd) -> None:
    first, happens = TABS[tab]
    page.open(f"{herd.url}/dashboard", tab)
    page.sees(first, within_s=OPENS_S)

    word = happens(herd)

    page.sees(word)
