"""A listener whose place another takes."""

from herd.http.server import listen
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import GET, TEXT, Echo, Held, client, serving


def test_who_leaves_says_so_in_each_answer_and_another_listens_on_its_sockets(run: Run) -> None:
    async def main() -> None:
        app, heir = Held(), Echo()
        async with serving(app) as listener:
            async with client(listener.port) as idle, client(listener.port) as one:
                one.send(GET)
                exchange = await app.exchange()
                port = listener.port
                taken = await listen(heir, socks=listener.sockets())
                listener.leave()
                exchange.respond(200, TEXT, b"done")
                assert b"\r\nConnection: close\r\n" in await one.rest()
                idle.send(GET)  # was on its way
                exchange = await app.exchange()
                exchange.respond(200, TEXT, b"done")
                assert b"\r\nConnection: close\r\n" in await idle.rest()
            async with client(port) as new:
                new.send(GET)
                assert (await new.answer())[1] == b"GET /x "
            await taken.closed(5)

    run(main())
