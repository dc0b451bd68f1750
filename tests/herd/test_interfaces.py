"""The addresses of this machine."""

import ipaddress
import socket

import psutil
import pytest

from herd.interfaces import address_towards, broadcasts, card_of, own_addresses


def _interface(*addresses: tuple[int, str]) -> list[object]:
    return [
        type("Address", (), {"family": family, "address": address})()
        for family, address in addresses
    ]


def test_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    inet, inet6 = socket.AF_INET, socket.AF_INET6
    found = {
        "lo": _interface((inet, "127.0.0.1"), (inet6, "::1")),
        "eth0": _interface((inet6, "fd00::2"), (inet6, "fe80::1%eth0"), (inet, "192.168.1.2")),
        "eth1": _interface((inet, "10.0.0.1")),
        "wifi": _interface((-1, "02:fc:00:00:00:01"), (inet, "169.254.3.4")),
    }
    up = {name: type("Stats", (), {"isup": name != "eth1"})() for name in found}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: up)
    assert own_addresses() == ("192.168.1.2", "169.254.3.4", "fd00::2")


def test_this_machine_has_none_that_is_loopback() -> None:
    assert not [each for each in own_addresses() if ipaddress.ip_address(each).is_loopback]


def test_the_address_on_the_way() -> None:
    assert address_towards("127.0.0.1", 11435) == "127.0.0.1"
    assert address_towards("no-such-host.invalid", 11435) == ""
    assert address_towards("a..b", 11435) == ""


def test_the_card_that_has_an_address_and_where_all_of_a_network_hear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def address(family: int, text: str, broadcast: str | None = None) -> object:
        told = {"family": family, "address": text, "broadcast": broadcast}
        return type("Address", (), told)()

    inet, link = socket.AF_INET, psutil.AF_LINK
    found = {
        "lo": [address(inet, "127.0.0.1"), address(link, "00:00:00:00:00:00")],
        "eth0": [
            address(inet, "192.168.1.2", "192.168.1.255"),
            address(socket.AF_INET6, "fe80::1%eth0"),
            address(link, "3c:7c:3f:00:00:01"),
        ],
        "tun0": [address(inet, "10.8.0.2")],
        "off0": [address(inet, "10.9.0.2", "10.9.0.255"), address(link, "3c:7c:3f:00:00:02")],
    }
    up = {name: type("Stats", (), {"isup": name != "off0"})() for name in found}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: up)
    assert card_of("192.168.1.2") == card_of("fe80::1") == "3c:7c:3f:00:00:01"
    assert [card_of("10.8.0.2"), card_of("10.0.0.1"), card_of("")] == ["", "", ""]
    assert broadcasts() == ("192.168.1.255",)
