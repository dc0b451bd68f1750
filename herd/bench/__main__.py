"""The process that measures: `python -m herd.bench`, begun by control, never by people."""

import asyncio
import signal
import sys
import threading

import msgspec

from herd.bench.measuring import Benchmark
from herd.bench.words import Plan, Said


def main() -> None:
    """Read the plan, measure until the time is up or the input ends, say what was found."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is herd's to hear
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    asyncio.run(_measure(plan))


async def _measure(plan: Plan) -> None:
    loop = asyncio.get_running_loop()
    benchmark = Benchmark(plan, _say)

    def listen() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(benchmark.stop)

    threading.Thread(target=listen, daemon=True).start()
    _say(await benchmark.run())


def _say(said: Said) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
