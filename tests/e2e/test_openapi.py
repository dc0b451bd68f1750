"""A live herd does what its own document says: schemathesis asks each route, well and badly."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as of_openapi

from tests.e2e.herds import Herd

STRANGER = {"X-Forwarded-For": "192.0.2.9"}
LEFT_OUT = {"/dashboard/api/events", "/heartbeat"}
"""The feed has no end, and a heartbeat makes a node that is not there."""
EXAMPLES = 8
PATIENCE_S = 10.0
REFUSED = 401

CHECKS: list[Any] = [
    getattr(checks, "not_a_server_error"),  # noqa: B009 (its own type is not known in full)
    getattr(of_openapi, "content_type_conformance"),  # noqa: B009 (as above)
    getattr(of_openapi, "response_schema_conformance"),  # noqa: B009 (as above)
]


def operations(herd: Herd) -> list[Any]:
    document: Any = schemathesis.openapi.from_url(f"{herd.url}/openapi.json")
    found = [each.ok() for each in document.get_all_operations()]
    return [each for each in found if each.path not in LEFT_OUT]


def each_case(operation: Any, judge: Any) -> None:
    """Ask an operation several times; the same in each run."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=tuple(HealthCheck.__members__.values()),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        judge(case)

    ask()


def test_each_route_answers_as_it_is_described(herd: Herd) -> None:
    def judge(case: Any) -> None:
        answer = case.call(timeout=PATIENCE_S)
        case.validate_response(answer, checks=CHECKS)

    open_to_all = [each for each in operations(herd) if "security" not in each.definition.raw]
    assert len(open_to_all) > 30
    for operation in open_to_all:
        each_case(operation, judge)


def test_what_changes_the_fleet_is_refused_to_strangers_whatever_they_send(herd: Herd) -> None:
    def judge(case: Any) -> None:
        answer = case.call(headers=STRANGER, timeout=PATIENCE_S)
        assert answer.status_code == REFUSED, case.as_curl_command()

    closed = [each for each in operations(herd) if "security" in each.definition.raw]
    assert len(closed) > 10
    for operation in closed:
        each_case(operation, judge)
