"""A machine that sleeps: a node and its agent, and a network card that hears magic packets."""

import os
import signal
import socket
import threading
from pathlib import Path

import psutil

from tests.e2e.herds import Herd, Program

MAC = "02:00:5e:10:00:07"
BEAT_S = 0.3


class Card:
    """Calls something for each magic packet that is for its address, and counts them."""

    def __init__(self, mac: str = MAC) -> None:
        self.packets: list[bytes] = []
        self.asleep = threading.Event()
        self.woken = threading.Event()
        self._magic = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _listen(self) -> None:
        while packet := self._socket.recv(2048):
            self.packets.append(packet)
            if packet == self._magic:
                self.woken.set()


class Machine:
    """One machine, that is on."""

    def __init__(self, home: Path, name: str, herd: Herd, port: int) -> None:
        self.name = name
        self._node = ["-m", "herd.simulator", "--profile", "mini", "--port", str(port), "--json"]
        self._node += ["--time-scale", "50", "--answer-tokens", "8"]
        self._agent = ["-m", "herd", "node", "--ollama-host", f"http://127.0.0.1:{port}"]
        self._agent += ["--node-id", name, "--heartbeat-interval", str(BEAT_S), "--wake", MAC]
        self._agent += ["--router-url", herd.url, "--data-dir", str(home)]
        self._programs: list[Program] = []
        self.boots()

    def boots(self) -> None:
        """Start what runs there: the agent may be quicker than its Ollama."""
        self._programs = [Program(self._agent, {}), Program(self._node, {})]

    def loses_power(self) -> None:
        for program in self._programs:
            program.clear()

    def sleeps(self) -> None:
        """Freeze everything, as a machine does: its connections stay, and say nothing."""
        self._signal(signal.SIGSTOP)

    def wakes(self) -> None:
        self._signal(signal.SIGCONT)

    def agent_says(self, text: str) -> None:
        self._programs[0].hears(text)

    def _signal(self, number: signal.Signals) -> None:
        for program in self._programs:
            for process in program.family():
                try:
                    os.kill(process.pid, number)
                except (ProcessLookupError, psutil.Error):
                    continue


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
