"""The pages say what the sources say, and point to what is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from events import decode
from events.catalogue import catalogue, values
from events.codec import KINDS
from herd.cli import COMMANDS
from herd.config import FIELDS
from tests.architecture.tree import ROOT, SOURCES, TESTS, expect_none, name
from tests.docs import markdown
from tests.docs.pages import DOCS, pages
from tests.docs.picture import PICTURE

MADE = pages()
LIFE = DOCS / "life-of-a-request.md"
PRIVACY = DOCS / "privacy.md"

KIND_IN_LOG = re.compile(r"^(?:\d\d-\d\d )?\d\d:\d\d:\d\d\.\d{3}  (\w+)", re.MULTILINE)
SOURCE_FILE = re.compile(r"[\w./]+\.(?:py|sql)")


@pytest.mark.parametrize("page", MADE, ids=lambda page: page.name)
def test_a_made_page_is_current(page: Path) -> None:
    written, made = page.read_text("utf-8"), MADE[page]()

    # How click breaks lines is its own affair.
    assert written.split() == made.split(), "run: python -m tests.docs"


def test_everything_has_its_heading() -> None:
    assert set(KINDS) <= set(markdown.headings(DOCS / "events.md"))
    assert {f"herd {each}" for each in COMMANDS} <= set(markdown.headings(DOCS / "commands.md"))
    assert set(FIELDS) == set(markdown.headings(DOCS / "settings.md")) - {"Settings"}


def test_links_lead_somewhere() -> None:
    def broken() -> Iterator[str]:
        for page in markdown.WRITTEN:
            for link in markdown.links(page):
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                if not target.exists():
                    yield f"{name(page)}: {link} is not there"
                elif anchor and anchor not in markdown.anchors(target):
                    yield f"{name(page)}: {link} names no heading"

    expect_none(broken())


def test_sources_that_are_named_exist() -> None:
    known = {
        name(path)
        for path in (
            *SOURCES,
            *TESTS,
            *ROOT.glob("herd/**/*.sql"),
            *ROOT.glob("benchmarks/**/*.py"),
        )
    }

    expect_none(
        f"{name(page)}: {span}"
        for page in markdown.WRITTEN
        for span in markdown.spans(page)
        if SOURCE_FILE.fullmatch(span)
        and span != "log/open.sql"
        and not any(path == span or path.endswith(f"/{span}") for path in known)
    )


@pytest.mark.parametrize("page", [markdown.README, LIFE], ids=lambda page: page.name)
def test_what_the_log_showed_can_still_happen(page: Path) -> None:
    shown = [
        kind for block in markdown.blocks(page, "console") for kind in KIND_IN_LOG.findall(block)
    ]

    assert shown
    assert set(shown) <= set(KINDS)


def test_the_lines_of_the_journal_can_be_read() -> None:
    lines = [line for block in markdown.blocks(LIFE, "json") for line in block.splitlines()]
    kinds = [type(decode(line.encode())).__name__ for line in lines]
    told = [decode(line.encode()).event.__struct_config__.tag for line in lines]

    assert kinds == ["Recorded"] * 3
    assert told == ["request_received", "request_dispatched", "request_completed"]


def test_every_text_that_is_stored_is_named() -> None:
    named = set(markdown.spans(PRIVACY))

    expect_none(
        f"{entry.name}.{field.name}: {field.type}"
        for entry in (*catalogue(), *values())
        for field in entry.fields
        if ("str" in field.type or "Literal" in field.type or field.type == "msgspec.Raw")
        and field.name not in named
    )


def test_the_picture_says_that_it_is_simulated() -> None:
    svg = PICTURE.read_text("utf-8")

    assert "simulated" in svg
    assert "http" not in re.sub(
        r"http://(www\.w3\.org|localhost|127\.0\.0\.1)|https://www\.textualize", "", svg
    )
