"""A `herd run` whose children are fakes: `python -m tests.herd.processes.rig DATA_DIR SCENARIO`.

Every line it prints is one thing that the supervisor said.
"""

import sys
from pathlib import Path

from herd.config import Settings
from herd.errors import HerdError
from herd.processes import balancer, stopped
from herd.processes.reloading import Source
from herd.processes.supervisor import Errand, Watch
from tests.herd.processes.fakes import STUCK_AFTER_S, scenario

stopped.EVERY_S = 0.1


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (the test reads it)


def main(data_dir: str, name: str, port: str) -> int:
    def tell_pids(pids: dict[str, int]) -> None:
        say(f"pids {sorted(pids)}")

    def watch(settings: Settings) -> Watch:
        return Watch(
            say=say,
            pids_changed=tell_pids,
            all_ready=lambda: say(f"ready {settings.port}"),
            errands=(Errand(0.05, lambda: say("errand")),),
        )

    settings = Settings(
        host="127.0.0.1",
        port=int(port),
        data_dir=data_dir,
        drain_timeout_s=0,
        stuck_after_s=STUCK_AFTER_S,
    )
    diary = Path(data_dir) / "diary"
    try:
        source = Source(settings, lambda: settings)
        balancer.run_balancer(source, lambda _s, _c: scenario(name, diary), watch, say)
    except HerdError as error:
        say(f"failed: {error.what} | {error.next_step}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
