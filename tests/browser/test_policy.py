"""What the page's Content-Security-Policy lets nobody do, whatever got into it."""

from tests.browser.conftest import WITHIN_S, OnTab
from tests.e2e.herds import until

TRIES = {
    "an inline script": """
        const script = document.createElement('script');
        script.textContent = 'window.pwned = 1';
        document.body.append(script);
    """,
    "a handler in markup": """
        const image = document.createElement('img');
        image.setAttribute('onerror', 'window.pwned = 1');
        image.src = '/nothing';
        document.body.append(image);
    """,
    "a script from elsewhere": """
        const script = document.createElement('script');
        script.src = 'http://localhost:9/evil.js';
        document.body.append(script);
    """,
    "a question to elsewhere": "fetch('http://localhost:9/').catch(() => {});",
    "a form that goes elsewhere": """
        const form = document.createElement('form');
        form.action = 'http://localhost:9/';
        document.body.append(form);
        form.submit();
    """,
    "a frame": """
        const frame = document.createElement('iframe');
        frame.src = 'http://localhost:9/';
        document.body.append(frame);
    """,
}

LISTEN = """
window.refused = [];
addEventListener('securitypolicyviolation', (event) => {
  window.refused.push(event.effectiveDirective);
});
"""


def test_nothing_foreign_runs_or_is_asked(on_tab: OnTab) -> None:
    page = on_tab("overview")
    page.sees("studio")
    page.script(LISTEN)

    for what, attempt in TRIES.items():
        page.script(f"window.refused.length = 0; {attempt}")
        assert until(lambda: bool(page.script("return window.refused.length")), WITHIN_S), what
    assert page.script("return window.pwned") is None
