"""No file tells where it was written: the repository stands by itself."""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, WRITTEN, expect_none, name, text

ELSEWHERE = re.compile(
    "|".join(
        [
            re.escape("../sha" + "red"),
            r"(?<![\w./-])/wo" + r"rk/",
            r"(?<![\w./-])/ro" + r"ot/",
            r"(?<![\w./-])/ho" + r"me/\w",
            r"(?<![\w./-])/Us" + r"ers/\w",
            "pypi" + r"\.org",
            "python" + r"hosted\.org",
            "registry" + r"\.npmjs",
            "deb" + r"\.debian\.org",
            r"--index-" + r"url",
        ]
    )
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    expect_none(
        f"{name(path)}: {found[0]}"
        for path in WRITTEN
        if (found := ELSEWHERE.search(text(path))) is not None
    )


@pytest.mark.parametrize(
    "planted", ["see ../sha" + "red/spec", "cd /wo" + "rk/main", "https://pypi" + ".org/simple"]
)
def test_a_machine_would_be_found(planted: str) -> None:
    assert ELSEWHERE.search(planted)


def test_there_is_something_to_read() -> None:
    assert ROOT / "pyproject.toml" in WRITTEN
    assert Path(__file__) in WRITTEN
