"""Settings over HTTP: all are shown; a change is checked, told, and answered when it holds."""

from typing import Any

import msgspec
import pytest

from events import SettingsChanged
from herd.config import CHANGEABLE, FIELDS, Settings
from herd.http.endpoints import settings as page
from herd.http.endpoints.settings import RefusedError, checked, in_force, told
from herd.link.messages import View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, post, view
from tests.herd.http.sockets import Client, client

FIXED = Settings(port=7, max_queue=9, fixed={"port": "--port", "max_queue": "FLEET_MAX_QUEUE"})


async def changed(one: Client, body: bytes, *headers: bytes) -> tuple[int, dict[str, Any]]:
    post(one, page.PATH, body, *headers)
    head, answer = await one.answer()
    return int(head.split()[1]), msgspec.json.decode(answer)


def test_every_setting_is_shown_with_what_it_is() -> None:
    shown: Any = told(FIXED, View(settings={"fair_shares": False, "port": 3}))
    rows: dict[str, Any] = {row["key"]: row for row in shown["settings"]}
    assert set(rows) == set(FIELDS)
    assert all(row["help"] for row in rows.values())
    assert {key for key, row in rows.items() if row["changeable"]} == CHANGEABLE - {"max_queue"}
    assert rows["fair_shares"]["value"] is False
    assert rows["fair_shares"]["default"] is True
    assert rows["fair_shares"]["type"] == "bool"
    assert rows["port"]["value"] == 7
    assert rows["port"]["fixed_by"] == "--port"
    assert "soonest" in rows["policy"]["choices"]
    assert rows["hold_timeout_s"]["unit"] == "s"
    assert rows["max_retries"] | {"help": ""} == {
        "key": "max_retries",
        "value": 2,
        "default": 2,
        "changeable": True,
        "fixed_by": "",
        "help": "",
        "type": "int",
        "least": 0,
        "most": 2**53 - 1,
    }
    assert shown["config"]["server"]["port"] == 7


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"nope": 1}, 400, "there is no setting 'nope'"),
        ({"fixed": {}}, 400, "there is no setting 'fixed'"),
        ({"fair_shares": "false"}, 400, "fair_shares cannot be 'false'.*write true or false"),
        ({"fair_shares": 0}, 400, "fair_shares"),
        ({"max_retries": True}, 400, "max_retries"),
        ({"max_retries": -1}, 400, "max_retries"),
        ({"max_retries": 1.5}, 400, "max_retries"),
        ({"policy": "best"}, 400, "policy.*write one of"),
        ({"hold_timeout_s": None}, 400, "hold_timeout_s"),
        ({"degraded_after_s": 31}, 400, "degraded_after_s must not be above"),
        ({"max_queue": 1}, 409, "max_queue is fixed by FLEET_MAX_QUEUE"),
        ({"port": 1}, 409, "port is fixed by --port"),
        ({"workers": 1}, 409, "workers cannot change while herd runs: .*FLEET_WORKERS"),
        ({"predictions": False, "nope": 1}, 400, "nope"),
    ],
)
def test_what_cannot_be_names_its_key(asked: dict[str, object], status: int, says: str) -> None:
    with pytest.raises(RefusedError, match=says) as refused:
        checked(FIXED, in_force(FIXED, View()), asked)
    assert refused.value.status == status


def test_only_what_differs_is_changed_and_whole_numbers_are_seconds_too() -> None:
    values = in_force(FIXED, View(settings={"policy": "random"}))
    asked = {"policy": "random", "hold_timeout_s": 5, "degraded_after_s": 40, "offline_after_s": 50}
    changes = checked(FIXED, values, asked)
    assert changes == {"hold_timeout_s": 5.0, "degraded_after_s": 40.0, "offline_after_s": 50.0}
    assert isinstance(changes["hold_timeout_s"], float)


def test_a_change_is_told_and_answered_when_it_holds(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, page.PATH, b'{"fair_shares": false, "hold_timeout_s": 4}')
            fact = await control.heard(SettingsChanged, 2)
            assert (fact.key, fact.old, fact.new, fact.by) == (
                "hold_timeout_s",
                30.0,
                4.0,
                "127.0.0.1",
            )
            assert control.front is not None
            control.view = View(settings={"fair_shares": False, "hold_timeout_s": 4.0})
            control.front.view_changed(control.view)
            head, answer = await one.answer()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert msgspec.json.decode(answer)["updated"] == {
                "fair_shares": False,
                "hold_timeout_s": 4.0,
            }
            assert control.front.waits.hold_timeout_s == 4.0
            shown = msgspec.json.decode((await one.get(page.PATH))[1])
            assert shown["config"]["toggles"]["fair_shares"] is False
            status, said = await changed(one, b'{"fair_shares": false}')
            assert (status, said["status"]) == (200, "no_change")
            assert len(control.facts) == 2

    run(main())


def test_nothing_is_told_where_it_could_not_hold(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "SEEN_WITHIN_S", 0.05)

    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            off = b'{"fair_shares": false}'
            assert (await changed(one, off, b"X-Forwarded-For: 1.2.3.4"))[0] == 401
            assert (await changed(one, b"[1]"))[0] == 400
            assert (await changed(one, b"{}"))[0] == 400
            control.connected = False
            assert (await changed(one, off))[0] == 503
            control.connected = True
            control.view = View(recording=False)
            assert "cannot be written" in (await changed(one, off))[1]["error"]
            assert control.facts == []
            control.view = View()
            status, said = await changed(one, off)
            assert (status, "not confirmed" in said["error"]) == (503, True)
            control.full = True
            assert (await changed(one, off))[0] == 503

    run(main())
