"""One demo for all pages."""

from collections.abc import Iterator

import pytest

from tests.docs.demo import Demo, running


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo")) as here:
        yield here
