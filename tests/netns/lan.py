"""Networks laid on this machine: network namespaces for machines, a bridge for each switch.

Needs root on Linux. Nothing of this machine's own network is touched: the switches stand in a
namespace of their own. Every name begins with `herd-`, and ends with the test.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

PORT: Final = 11435
OLLAMA: Final = 11434
REPOSITORY: Final = Path(__file__).parents[2]
STOP_S: Final = 15.0
POLL_S: Final = 0.1

_counter = itertools.count()


def why_not() -> str:
    """Return what keeps networks from being laid here; empty if nothing does."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "networks are laid by root on Linux only"
    if shutil.which("ip") is None or shutil.which("nft") is None:
        return "needs ip and nft: apt-get install iproute2 nftables"
    probe = f"herd-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "this kernel or container lets nobody make network namespaces"
    _ip("netns", "del", probe)
    return ""


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert not done.returncode, f"ip {' '.join(words)}: {done.stderr.strip()}"


class Machine:
    """A network namespace with programs in it."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.host_name = name
        self.space = f"herd-{os.getpid()}-{next(_counter)}"
        self._directory = directory / name
        self._directory.mkdir()
        self._more: dict[str, str] = {}
        self._running: list[tuple[subprocess.Popen[bytes], str, Path]] = []
        _ip("netns", "add", self.space)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words: str) -> None:
        """Change its network."""
        _ip("-n", self.space, *words)

    def within(self, *command: str) -> list[str]:
        """Return the command line that runs a command here."""
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', self.host_name)
        return ["ip", "netns", "exec", self.space, *named, *command]

    def run(self, *command: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.within(*command),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            cwd=REPOSITORY,
            env=self._environment(),
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program; what it says is kept for a failure."""
        said = self._directory / f"{len(self._running)}.log"
        with said.open("wb") as file:
            process = subprocess.Popen(
                self.within(*command),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=self._environment(),
                start_new_session=True,
            )
        self._running.append((process, " ".join(command), said))
        return process

    def herd(self, *words: str) -> str:
        """Run a command about the balancer here, and return what it prints."""
        directory = str(self._directory / "balancer")
        return self.run(sys.executable, "-m", "herd", *words, "--data-dir", directory).stdout

    def avahi(self) -> None:
        """Start a daemon of avahi's here, on a bus of its own."""
        bus = self._directory / "bus"
        (self._directory / "dbus.conf").write_text(
            "<busconfig>"
            f"<type>session</type><listen>unix:path={bus}</listen><auth>EXTERNAL</auth>"
            '<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/>'
            '<allow own="*"/></policy>'
            "</busconfig>"
        )
        (self._directory / "avahi.conf").write_text(
            "[server]\nuse-ipv4=yes\nuse-ipv6=yes\n[publish]\npublish-workstation=no\n"
        )
        self._more["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={bus}"
        self.start("dbus-daemon", "--nofork", f"--config-file={self._directory / 'dbus.conf'}")
        until(bus.exists, STOP_S, "the bus is there")
        # Its pid file has a fixed place: a /run of its own, in the namespace that `ip` has made.
        self.start(
            *("sh", "-c", 'mount -t tmpfs none /run && mkdir /run/avahi-daemon && exec "$@"', "sh"),
            *("avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits", "--no-proc-title"),
            *("-f", str(self._directory / "avahi.conf")),
        )
        asked = ("avahi-browse", "--all", "--terminate")
        until(lambda: not self.run(*asked).returncode, STOP_S, "avahi answers")

    def balancer(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start herd here, on its usual port."""
        directory = str(self._directory / "balancer")
        return self.start(sys.executable, "-m", "herd", "run", "--data-dir", directory, *flags)

    def agent(self, *flags: str) -> subprocess.Popen[bytes]:
        """Start a simulated Ollama and the agent beside it."""
        self.start(
            *(sys.executable, "-m", "herd.simulator", "--profile", "mini", "--name", self.name),
            *("--host", "::", "--port", str(OLLAMA), "--step-s", "0", "--answer-tokens", "5"),
        )
        directory = str(self._directory / "agent")
        return self.start(
            *(sys.executable, "-m", "herd", "node", "--node-id", self.name),
            *("--data-dir", directory, *flags),
        )

    def get(self, url: str, body: object = None) -> Any:
        """Ask something over HTTP from here; None if nothing answers."""
        posted = [] if body is None else ["--data-raw", msgspec.json.encode(body).decode()]
        done = self.run("curl", "-sgfm", "10", *posted, url)
        return msgspec.json.decode(done.stdout) if not done.returncode else None

    def said(self) -> str:
        """Return what its programs have said."""
        return "\n".join(
            f"{self.name}, {command}:\n{path.read_text()}" for _, command, path in self._running
        )

    def end(self) -> None:
        """Stop all programs, and take the machine away."""
        for process, _, _ in self._running:
            stop(process)
        _ip("netns", "del", self.space)

    def _environment(self) -> dict[str, str]:
        keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {**keep, **self._more, "HOME": str(self._directory), "PYTHONPATH": str(REPOSITORY)}


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a program as its user would, or else by force."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Lan:
    """Switches, and machines that are plugged into them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._floor = Machine("switches", directory)
        self.machines: list[Machine] = []
        self._switches: set[str] = set()

    def machine(self, name: str, *addresses: str, switch: str = "sw0") -> Machine:
        """Add a machine with these addresses (with their prefix) on a switch."""
        found = Machine(name, self._directory)
        self.machines.append(found)
        self.plug(found, "eth0", *addresses, switch=switch)
        return found

    def plug(self, machine: Machine, port: str, *addresses: str, switch: str = "sw0") -> None:
        """Give a machine one more port, on a switch."""
        if switch not in self._switches:
            self._switches.add(switch)
            self._floor.ip(*f"link add {switch} type bridge mcast_snooping 0".split())
            self._floor.ip(*f"link set {switch} up".split())
        cable, far = f"hv{os.getpid() % 100_000}.{next(_counter)}", f"p{next(_counter)}"
        self._floor.ip(*f"link add {far} type veth peer name {cable}".split())
        self._floor.ip(*f"link set {far} master {switch} up".split())
        self._floor.ip(*f"link set {cable} netns {machine.space} name {port}".split())
        machine.ip(*f"link set {port} up".split())
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []  # no wait for a twin of that address
            machine.ip("address", "add", address, "dev", port, *nodad)
        machine.ip(*f"route add 224.0.0.0/4 dev {port} metric {100 + int(port[-1])}".split())

    def end(self) -> None:
        """Take everything away."""
        for machine in [*self.machines, self._floor]:
            machine.end()


@contextmanager
def laid(directory: Path) -> Generator[Lan]:
    """Lay a network; what its programs said is told if the test fails."""
    lan = Lan(directory)
    try:
        yield lan
    except BaseException:
        for machine in lan.machines:
            sys.stderr.write(machine.said())
        raise
    finally:
        lan.end()


def until(true: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait until something holds; return the seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"not within {within_s:.0f} s: {what}"
        time.sleep(POLL_S)
    return time.monotonic() - began


def online(machine: Machine, url: str) -> list[str]:
    """Return the nodes that a balancer has online, asked from a machine."""
    status = machine.get(f"{url}/fleet/status")
    nodes: Sequence[dict[str, Any]] = status["nodes"] if status else ()
    return sorted(node["node_id"] for node in nodes if node["status"] == "online")
