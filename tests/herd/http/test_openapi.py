"""The document of all routes says each of them, and nothing else."""

from typing import Any

import msgspec

from herd.http.described import OPERATIONS
from herd.http.openapi import keys
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting
from tests.herd.http.sockets import client


def test_each_route_has_its_words_and_each_word_its_route(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control):
            assert control.front is not None
            served = {f"{method} {path}" for path, method in keys(control.front.routes)}
            assert served == set(OPERATIONS)

    run(main())


def test_the_document_is_served(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            head, body = await one.get("/openapi.json")
            assert head.startswith(b"HTTP/1.1 200")
            said: Any = msgspec.json.decode(body)
            assert said["openapi"].startswith("3.")
            traces = said["paths"]["/dashboard/api/traces"]["get"]
            [limit] = [each for each in traces["parameters"] if each["name"] == "limit"]
            assert limit["schema"]["maximum"] == 200
            assert said["paths"]["/v1/models/{model}"]["get"]["parameters"][0]["in"] == "path"
            assert said["paths"]["/api/pull"]["post"]["security"]
            assert not any(path.startswith("/dashboard/static") for path in said["paths"])

    run(main())
