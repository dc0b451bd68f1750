import ast
import inspect

import msgspec
import pytest

from herd import config
from herd.config import CHANGEABLE, FIELDS, Settings, load
from herd.errors import HerdError
from herd.node_address import NodeAddress, parse_node, parse_nodes


def refused(flags: dict[str, object], environment: dict[str, str]) -> HerdError:
    with pytest.raises(HerdError) as caught:
        load(flags, environment)
    return caught.value


def test_a_flag_beats_the_environment_which_beats_a_recorded_change_which_beats_the_default() -> (
    None
):
    recorded = {"max_queue": 7, "max_retries": 7, "hold_timeout_s": 7.0}
    environment = {"FLEET_MAX_RETRIES": "8", "FLEET_HOLD_TIMEOUT": "8"}
    settings = load({"hold_timeout_s": 9.0}, environment).recorded(recorded)
    assert settings.max_queue_total == 4096
    assert settings.max_queue == 7
    assert settings.max_retries == 8
    assert settings.hold_timeout_s == 9.0


def test_what_fixed_a_field_is_named() -> None:
    settings = load({"port": 1, "mdns": False}, {"FLEET_MAX_QUEUE": "3", "FLEET_PORT": "2"})
    assert settings.fixed == {
        "port": "--port",
        "mdns": "--no-mdns",
        "max_queue": "FLEET_MAX_QUEUE",
    }


def test_a_recorded_change_of_what_cannot_change_is_left_alone() -> None:
    settings = load({}, {}).recorded({"port": 1, "a_setting_of_tomorrow": True})
    assert settings == load({}, {})


def test_a_recorded_change_of_the_wrong_type_is_refused_by_name() -> None:
    with pytest.raises(HerdError, match="max_queue cannot be 'many'"):
        load({}, {}).recorded({"max_queue": "many"})


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("FLEET_PORT", "80", "port", 80),
        ("FLEET_MDNS", "off", "mdns", False),
        ("FLEET_LOCAL_OLLAMA", "NO", "local_ollama", False),
        ("FLEET_LOCAL_OLLAMA", "1", "local_ollama", True),
        ("FLEET_HOLD_TIMEOUT", "2.5", "hold_timeout_s", 2.5),
        ("FLEET_STALE_TIMEOUT", "60", "stale_timeout_s", 60.0),
        ("FLEET_HEARTBEAT_TIMEOUT", "3", "degraded_after_s", 3.0),
        ("FLEET_HEARTBEAT_OFFLINE", "300", "offline_after_s", 300.0),
        ("FLEET_DATA_DIR", "/x", "data_dir", "/x"),
        ("FLEET_LOG_KEEP_DAYS", "0.5", "log_keep_days", 0.5),
        ("FLEET_LOG_MAX_BYTES", "1000000", "log_max_bytes", 1_000_000),
        ("FLEET_LOG_LEVEL", "debug", "log_level", "debug"),
        ("FLEET_MAX_QUEUE", "", "max_queue", 512),
        (
            "FLEET_NODES",
            "studio http://mini:1,slots=3",
            "nodes",
            (NodeAddress("http://studio:11434"), NodeAddress("http://mini:1", 3)),
        ),
    ],
)
def test_a_variable_is_read_as_its_field_wants(
    name: str, text: str, field: str, value: object
) -> None:
    assert getattr(load({}, {name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("FLEET_PORT", "70000"),
        ("FLEET_PORT", "any"),
        ("FLEET_MDNS", "maybe"),
        ("FLEET_HOLD_TIMEOUT", "0"),
        ("FLEET_HOLD_TIMEOUT", "nan"),
        ("FLEET_HOLD_TIMEOUT", "inf"),
        ("FLEET_MAX_QUEUE", "-1"),
        ("FLEET_LOG_KEEP_DAYS", "0"),
        ("FLEET_LOG_KEEP_DAYS", "nan"),
        ("FLEET_LOG_MAX_BYTES", "0"),
        ("FLEET_NODES", "ftp://x"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused_by_name(name: str, text: str) -> None:
    assert refused({}, {name: text}).what.startswith(name)


def test_a_choice_names_the_choices() -> None:
    assert refused({"log_level": "loud"}, {}).next_step == (
        "write one of: debug, info, warning, error"
    )


def test_offline_before_degraded_is_refused() -> None:
    assert "before it is degraded" in refused({}, {"FLEET_HEARTBEAT_OFFLINE": "5"}).what


@pytest.mark.parametrize(
    ("text", "url", "slots"),
    [
        ("studio", "http://studio:11434", 0),
        ("studio:1234", "http://studio:1234", 0),
        ("http://Studio/", "http://studio:11434", 0),
        ("https://studio", "https://studio:443", 0),
        ("http://10.0.0.7:11434,slots=4", "http://10.0.0.7:11434", 4),
        ("http://[fd00::7]:1", "http://[fd00::7]:1", 0),
        ("http+unix:///run/My Ollama.sock,slots=2", "http+unix://%2Frun%2FMy%20Ollama.sock", 2),
        ("http+unix://%2Frun%2Follama.sock", "http+unix://%2Frun%2Follama.sock", 0),
        ("fd00::1", "http://[fd00::1]:11434", 0),
    ],
)
def test_a_node_is_written_as_people_do(text: str, url: str, slots: int) -> None:
    assert parse_node(text) == NodeAddress(url, slots)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://x/v1",
        "http://[::1",
        "http://x:port",
        "http://me@x",
        "x,slots=0",
        "x,slots=a",
        "x,y=1",
        "http+unix://run/ollama.sock",
        "http+unix:///run/",
        "https+unix:///run/x",
    ],
)
def test_a_node_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(HerdError, match="--node"):
        parse_node(text)


def test_a_node_named_twice_is_refused() -> None:
    with pytest.raises(HerdError, match="http://a:11434 is named twice"):
        parse_nodes(["a", "http://a:11434,slots=2"])


def test_every_value_in_force_can_be_recorded() -> None:
    flat = load({}, {"FLEET_NODES": "a,slots=2 b"}).flat()
    assert flat["nodes"] == "http://a:11434,slots=2 http://b:11434"
    assert set(flat) == set(FIELDS)
    assert msgspec.json.decode(msgspec.json.encode(flat), type=dict[str, config.Value]) == flat


def test_every_field_says_what_it_means() -> None:
    body = ast.parse(inspect.getsource(Settings)).body[0]
    assert isinstance(body, ast.ClassDef)
    pairs = zip(body.body, body.body[1:], strict=False)
    documented = {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    assert set(Settings.__struct_fields__) == documented


def test_what_can_change_exists() -> None:
    assert set(FIELDS) >= CHANGEABLE


def test_a_switch_says_how_it_is_written() -> None:
    with pytest.raises(HerdError, match="FLEET_FAIR_SHARES cannot be 'perhaps'") as refused:
        load({}, {"FLEET_FAIR_SHARES": "perhaps"})
    assert refused.value.next_step == "write one of: on, off"
