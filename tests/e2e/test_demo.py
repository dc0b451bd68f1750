"""A demo's herd, which ends with the demo and gives its place to nobody that would not."""

from pathlib import Path

import pytest

from tests.docs.demo import running
from tests.e2e.herds import command
from tests.e2e.wire import ask

pytestmark = pytest.mark.timeout(240)


def test_a_port_that_another_herd_has_is_said_to_be_taken(tmp_path: Path) -> None:
    with running(tmp_path / "first") as first:
        words = ("--port", str(first.port), "--data-dir", str(tmp_path / "second"))
        refused = command("demo", *words, "--seconds", "5")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"herd: port {first.port} is taken by ")
    assert f"localhost:{first.port}" not in refused.stdout, "the fleet of another"


def test_a_demo_says_that_it_is_not_renewed_but_started_again(tmp_path: Path) -> None:
    with running(tmp_path / "demo") as demo:
        refused = command("reload", "--anew", "--data-dir", str(demo.directory))
        assert refused.returncode == 1
        assert "end the demo (Ctrl-C), and start it again" in refused.stderr
        assert ask(f"http://127.0.0.1:{demo.port}", "/readyz").status == 200
        again = command("reload", "--data-dir", str(demo.directory))
        assert again.returncode == 0, "what can change while it runs can be changed"
