"""What the demo says to type and to look at."""

from herd.demo.screen import hints


def test_the_demo_says_where_the_dashboard_is() -> None:
    said = "\n".join(hints("http://localhost:4321", "m", "/api/chat"))
    assert "http://localhost:4321/dashboard" in said
    assert "curl -s http://localhost:4321/api/chat" in said
