"""What is compared: herd, nginx, HAProxy, ollama-herd and LiteLLM, each in front of one upstream.

All of them keep their connections to the upstream open, write no access log, and pass streams on
unbuffered. Each is one process tree on loopback that ends with the benchmark.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from benchmarks.machine import end_of, free_port
from benchmarks.upstream import MODEL, OPENAI_ANSWER, PAGES, SMALL_ANSWER
from herd.http.client import FetchError, fetch
from herd.tasks import spawn
from tests.chaos.running import Herd

OLLAMA_HERD = "ollama-herd==0.11.4"
LITELLM = "litellm[proxy]==1.108.7"
RIVALS = Path(__file__).parents[1] / ".venv" / "rivals"
"""Environments of their own, kept from run to run."""

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; tcp_nodelay on;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  {http}
}}
"""
_HAPROXY = """
global
  nbthread 1
  maxconn 4096
  {buffer}
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  option http-keep-alive
  option http-no-delay
  http-reuse always
frontend here
  bind 127.0.0.1:{port}
  default_backend there
backend there
  balance leastconn
  {more}
  {servers}
"""
BEAT_S = 0.5
BUFFER = "tune.bufsize 262144"
"""A request that shall be sent again has to fit in."""
_HAPROXY_AGAIN = """
  option http-buffer-request
  option redispatch 1
  retries 8
  retry-on conn-failure empty-response 404 503
"""
_LAUNCH = """
import sys
from fleet_manager.common import discovery
async def nothing(self): pass
discovery.FleetServiceAdvertiser.start = nothing  # nothing leaves this machine
discovery.FleetServiceAdvertiser.stop = nothing
from fleet_manager.cli.server_cli import main
main()
"""


_LITELLM = f"""
model_list:
  - model_name: "{MODEL}"
    litellm_params: {{{{model: "openai/{MODEL}", api_base: "{{upstream}}/v1", api_key: "none"}}}}
litellm_settings: {{{{drop_params: true, set_verbose: false}}}}
"""
OPENAI_PATH = "/v1/chat/completions"


Beat: TypeAlias = Callable[[], Awaitable[bytes]]
"""Gives the next heartbeat of a node of ollama-herd."""


class Target(msgspec.Struct):
    """Something that answers like an Ollama."""

    name: str
    url: str
    pid: int = 0
    """The root of its process tree; 0 where there is none to measure."""
    herd: Herd | None = None
    path: str = "/api/chat"
    """The route for small requests."""


class MissingError(Exception):
    """A rival that cannot be had here, and why."""


async def answers(url: str, path: str, *, within_s: float = 20.0) -> None:
    """Wait until something answers 200 there."""
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        with contextlib.suppress(FetchError):
            if (await fetch("GET", url + path, timeout_s=2.0)).status == 200:
                return
        await asyncio.sleep(0.05)
    raise MissingError(f"nothing answers at {url}{path}")


@contextlib.asynccontextmanager
async def _running(
    name: str,
    url: str,
    arguments: list[str],
    env: dict[str, str] | None = None,
    *,
    ready: str = "/",
    within_s: float = 20.0,
) -> AsyncIterator[Target]:
    process = subprocess.Popen(  # noqa: ASYNC220 (returns at once)
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    try:
        await answers(url, ready, within_s=within_s)
        yield Target(name, url, process.pid)
    finally:
        end_of(process)


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MissingError(f"{name} is missing: apt install {name}")
    return found


@contextlib.asynccontextmanager
async def _nginx(name: str, folder: Path, port: int, http: str) -> AsyncIterator[Target]:
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, http=http), encoding="utf-8")
    command = [_program("nginx"), "-p", str(folder), "-c", str(config)]
    command += ["-e", str(folder / "error.log")]
    async with _running(name, f"http://127.0.0.1:{port}", command) as target:
        yield target


@contextlib.asynccontextmanager
async def canned(folder: Path) -> AsyncIterator[Target]:
    """An nginx that gives the same small Ollama answer to every request for a model."""
    port = free_port()
    pages = {"/api/chat": SMALL_ANSWER, OPENAI_PATH: OPENAI_ANSWER, **PAGES}
    places = "".join(
        f"location = {path} {{ default_type application/json; return 200 '{body}'; }}\n"
        for path, body in pages.items()
    )
    http = f"server {{ listen 127.0.0.1:{port} backlog=4096; {places} }}"
    async with _nginx("direct", folder / "canned", port, http) as target:
        yield target


@contextlib.asynccontextmanager
async def paced(step_s: float) -> AsyncIterator[Target]:
    """The scripted node of `benchmarks.upstream`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.upstream",
        "--step-s",
        str(step_s),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 10)
        yield Target("direct", json.loads(line)["url"], process.pid)
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def nginx(folder: Path, *upstreams: str) -> AsyncIterator[Target]:
    """One worker, connections to the upstreams kept; a node without the model is passed over."""
    port = free_port()
    servers = " ".join(f"server {each.partition('://')[2]} max_fails=0;" for each in upstreams)
    more = "proxy_next_upstream error timeout http_404 http_503 non_idempotent;"
    http = f"""
  upstream there {{
    least_conn; {servers}
    keepalive 2048; keepalive_requests 100000000; keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; client_max_body_size 64m;
    {more if len(upstreams) > 1 else ""}
    location / {{
      proxy_pass http://there; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 600s;
    }}
  }}"""
    async with _nginx("nginx", folder / "nginx", port, http) as target:
        yield target


@contextlib.asynccontextmanager
async def haproxy(folder: Path, *upstreams: str) -> AsyncIterator[Target]:
    """One thread; of several, a node without the model is passed over."""
    port = free_port()
    config = folder / "haproxy.cfg"
    named = (f"server n{i} {each.partition('://')[2]}" for i, each in enumerate(upstreams))
    more = _HAPROXY_AGAIN if len(upstreams) > 1 else ""
    text = _HAPROXY.format(port=port, servers="\n  ".join(named), more=more, buffer=more and BUFFER)
    config.write_text(text, encoding="utf-8")
    command = [_program("haproxy"), "-f", str(config)]
    async with _running("HAProxy", f"http://127.0.0.1:{port}", command) as target:
        yield target


@contextlib.asynccontextmanager
async def herd(
    folder: Path, upstreams: list[str], *, slots: int = 2048, workers: int = 1
) -> AsyncIterator[Target]:
    """A whole `herd run`, every event recorded."""
    nodes = [f"{url},name=node{i},slots={slots}" for i, url in enumerate(upstreams)]
    async with herd_of(folder / "herd", nodes, workers=workers) as target:
        yield target


@contextlib.asynccontextmanager
async def herd_of(
    root: Path,
    nodes: list[str],
    *options: str,
    workers: int = 1,
    beats: Sequence[Beat] = (),
) -> AsyncIterator[Target]:
    """A whole `herd run` of these nodes, as `--node` takes them, and of those of the agents."""
    one = Herd(root, nodes, port=free_port(), workers=workers, options=options)
    one.start()
    try:
        async with _agents(one.url, beats):
            await one.ready(len(nodes) + len(beats))
            yield Target("herd", one.url, one.pids()["supervisor"], one)
    finally:
        one.stop()


@contextlib.asynccontextmanager
async def ollama_herd(
    folder: Path, upstream: str = "", beats: Sequence[Beat] = ()
) -> AsyncIterator[Target]:
    """ollama-herd from the package index, logs and telemetry off, its nodes by heartbeat."""
    python = await asyncio.to_thread(_python_with, "ollama-herd", OLLAMA_HERD)
    port = free_port()
    home = folder / "ollama-herd"
    home.mkdir()
    settings = {
        "HOME": str(home),
        "FLEET_HOST": "127.0.0.1",
        "FLEET_PORT": str(port),
        "FLEET_DATA_DIR": str(home),
        "FLEET_LOG_LEVEL": "CRITICAL",
        "FLEET_CONSOLE_LOG_LEVEL": "CRITICAL",
        "FLEET_TELEMETRY": "false",
        "FLEET_AUTO_PULL": "false",
        "FLEET_DISABLE_MODEL_PRELOADER": "true",
        "FLEET_FLEET_INTELLIGENCE": "false",
    }
    url = f"http://127.0.0.1:{port}"
    command = [python, "-c", _LAUNCH, "--log-level", "CRITICAL"]
    async with (
        _running("ollama-herd", url, command, settings, ready="/fleet/status") as target,
        _agents(url, beats or [partial(_one_big_node, upstream)]),
    ):
        await asyncio.sleep(1.0)
        yield target


@contextlib.asynccontextmanager
async def litellm(folder: Path, upstream: str) -> AsyncIterator[Target]:
    """LiteLLM's proxy from the package index, one worker, logs off; it has OpenAI's routes only."""
    python = await asyncio.to_thread(_python_with, "litellm", LITELLM)
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(_LITELLM.format(upstream=upstream), encoding="utf-8")
    command = [str(Path(python).with_name("litellm")), "--config", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    settings = {
        "LITELLM_LOG": "CRITICAL",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "PYTHONPATH": "",
    }
    url = f"http://127.0.0.1:{port}"
    ready = "/health/liveliness"
    async with _running("LiteLLM", url, command, settings, ready=ready, within_s=90.0) as target:
        target.path = OPENAI_PATH
        yield target


@contextlib.asynccontextmanager
async def _agents(url: str, beats: Sequence[Beat]) -> AsyncIterator[None]:
    agents = [spawn(_heartbeats(url, beat), name="heartbeats") for beat in beats]
    try:
        yield
    finally:
        for agent in agents:
            agent.cancel()


async def _one_big_node(upstream: str) -> bytes:
    return json.dumps(
        {
            "node_id": "node0",
            "cpu": {"cores_physical": 16, "utilization_pct": 5.0},
            "memory": {"total_gb": 192.0, "used_gb": 10.0, "available_gb": 180.0},
            "ollama": {
                "models_loaded": [{"name": MODEL, "size_gb": 2.0, "context_length": 8192}],
                "models_available": [MODEL],
                "models_available_sizes": {MODEL: 2.0},
                "num_parallel": 64,
                "version": "0.12.0",
            },
            "ollama_host": upstream,
        }
    ).encode()


async def _heartbeats(url: str, beat: Beat) -> None:
    """Be the agent of a node."""
    headers = ((b"Content-Type", b"application/json"),)
    while True:
        with contextlib.suppress(FetchError):
            body = await beat()
            await fetch("POST", f"{url}/heartbeat", headers=headers, body=body, timeout_s=10.0)
        await asyncio.sleep(BEAT_S)


def _python_with(name: str, requirement: str) -> str:
    """Return the Python of an environment of its own that has a package."""
    place = RIVALS / name
    python, stamp = place / "bin" / "python", place / requirement
    if not stamp.exists():
        print(f"installing {requirement} into {place.relative_to(RIVALS.parents[1])}")
        venv.create(place, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "-qq", "install", requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingError(f"pip cannot install {requirement}: {done.stderr[-300:]}")
        stamp.touch()
    return str(python)
