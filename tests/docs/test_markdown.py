from pathlib import Path

from tests.docs import markdown

PAGE = """# One `two`, three!

See [it](other.md#there) and [them](https://example.com), with `herd run`.

```console
$ herd log x
  an answer
$ make test
```

```text
# no heading, no [link](nowhere.md), no `span`
```
"""


def test_a_page_is_taken_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, "utf-8")

    assert markdown.commands(page) == ["herd log x", "make test"]
    assert markdown.headings(page) == ["One `two`, three!"]
    assert markdown.anchors(page) == {"one-two-three"}
    assert list(markdown.links(page)) == ["other.md#there"]
    assert markdown.spans(page) == ["two", "herd run"]
