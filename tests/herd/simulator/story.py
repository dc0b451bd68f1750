"""Tell a story of one machine, in its own seconds."""

import msgspec

from herd.simulator import profiles
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import (
    NEVER,
    Finished,
    Job,
    Loaded,
    Machine,
    Output,
    Refused,
    Tokens,
    Unloaded,
)

SMALL, MIDDLE, BIG, EMBED = (
    model.facts.name
    for model in (profiles.LLAMA_3B, profiles.QWEN_7B, profiles.LLAMA_70B, profiles.NOMIC)
)


class Story:
    """A machine and everything that happened to it."""

    def __init__(self, spec: NodeSpec) -> None:
        self.machine = Machine(spec)
        self.out: list[Output] = []
        self._ids = 0

    def submit(
        self,
        model: str,
        *,
        prompt: int = 10,
        output: int = 5,
        ctx: int | None = None,
        keep: float | None = None,
    ) -> int:
        self._ids += 1
        job = Job(
            id=self._ids,
            model=model,
            prompt_tokens=prompt,
            output_tokens=output,
            num_ctx=ctx,
            keep_alive_s=keep,
        )
        self.out += self.machine.submit(self.machine.now_s, job)
        return self._ids

    def load(self, model: str, **more: float | None) -> None:
        self.finish(self.submit(model, prompt=0, output=0, keep=more.get("keep")))

    def go(self, seconds: float) -> None:
        self.out += self.machine.advance(self.machine.now_s + seconds)

    def cancel(self, job: int) -> None:
        self.out += self.machine.cancel(self.machine.now_s, job)

    def unload(self, model: str) -> None:
        self.out += self.machine.unload(self.machine.now_s, model)

    def finish(self, job: int) -> Finished:
        """Let time pass until this job is done."""
        while True:
            for output in self.out:
                if isinstance(output, Finished) and output.job == job:
                    return output
            due = self.machine.next_event_at()
            assert due != NEVER, f"job {job} never ends"
            self.out += self.machine.advance(due)

    def tokens(self, job: int) -> list[Tokens]:
        return [out for out in self.out if isinstance(out, Tokens) and out.job == job]

    def loads(self) -> list[str]:
        return [out.model for out in self.out if isinstance(out, Loaded)]

    def unloads(self) -> list[tuple[str, str]]:
        return [(out.model, out.why) for out in self.out if isinstance(out, Unloaded)]

    def refusals(self) -> list[Refused]:
        return [out for out in self.out if isinstance(out, Refused)]

    def resident(self) -> list[str]:
        return [found.model.facts.name for found in self.machine.resident()]


def changed(spec: NodeSpec, **changes: float) -> NodeSpec:
    return msgspec.structs.replace(spec, **changes)


def small_memory(gib: float, **changes: float) -> NodeSpec:
    spec = profiles.tower()
    facts = msgspec.structs.replace(spec.facts, vram_bytes=int(gib * 1024**3))
    return changed(msgspec.structs.replace(spec, facts=facts), **changes)
