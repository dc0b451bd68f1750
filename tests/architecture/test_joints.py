"""Which package knows which neighbour, where import-linter's contracts are too coarse."""

from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGES, ROOT, SOURCES, TESTS, expect_none, imports, name

OWNERS = {
    "duckdb": (
        "herd/logd/",
        "herd/analysis/",
        "herd/commands/",
        "herd/processes/logd.py",
        "herd/replay/",
    ),
    "httptools": ("herd/http/",),
    "multiprocessing": ("herd/processes/", "herd/logs.py", "herd/platform.py"),
    "pykka": ("actors/",),
    "setproctitle": ("herd/platform.py",),
    "xllamacpp": ("herd/real/",),
    "zeroconf": ("herd/mdns.py",),
}
"""Who may import it."""


@pytest.mark.parametrize("module", OWNERS)
def test_a_neighbour_is_met_in_one_place(module: str) -> None:
    met = [name(path) for path in SOURCES if imports(path, module)]

    expect_none(each for each in met if not each.startswith(OWNERS[module]))


def test_what_is_shipped_needs_no_test() -> None:
    expect_none(name(p) for p in SOURCES if imports(p, "tests") or imports(p, "pytest"))


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in TESTS}

    expect_none(name(p) for p in sorted(folders) if not (p / "__init__.py").is_file())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", ["events", "actors"])
def test_a_package_with_a_common_name_says_whose_it_is(package: str) -> None:
    module = __import__(package)

    assert Path(str(module.__file__)).parent == ROOT / package
    assert module.DISTRIBUTION == "herd-balancer"
