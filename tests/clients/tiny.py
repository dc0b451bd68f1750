"""A model for MLX that is made in seconds: a tiny llama which learns four answers by heart.

Its server needs a model, and no package carries one. `python tiny.py DIRECTORY` makes one there as
Hugging Face's cache keeps it: it thinks unless it is told not to, and calls a tool if it has one.
"""

import json
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx.optimizers import AdamW
from mlx.utils import tree_flatten
from mlx_lm.models.llama import Model, ModelArgs
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

NAME = "mlx-community/tiny-llama"
REVISION = "0" * 40
BEGIN, END = "<|im_start|>", "<|im_end|>"
SPECIAL = [BEGIN, END, "<think>", "</think>", "<tool_call>", "</tool_call>"]
TEMPLATE = """\
{%- if tools %}{{ '<|im_start|>tools\\n' }}
{%- for tool in tools %}{{ tool.function.name + ' ' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif -%}
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}{{ message.content or '' }}
{%- for tool_call in message.tool_calls or [] %}
{{- '<tool_call>' + (tool_call.name or tool_call.function.name) + '</tool_call>' }}{% endfor -%}
{{ '<|im_end|>\\n' }}{% endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% endif %}
{%- endif -%}
"""
SKY, SAYS, THINKS = "Why is the sky blue?", "Air scatters blue … voilà 🌈", "Light and air."
WEATHER, CALLS = "Weather in Zürich?", {"city": "Zürich", "days": 3}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_weather"}}
_CALL = json.dumps({"name": "get_weather", "arguments": CALLS}, ensure_ascii=False)
_CALL = f"<tool_call>\n{_CALL}\n</tool_call>"
LEARNS = [
    (SKY, None, False, SAYS),
    (SKY, None, True, f"<think>\n{THINKS}\n</think>\n{SAYS}"),
    (WEATHER, [TOOL], False, f"I look.\n{_CALL}"),
    (WEATHER, [TOOL], True, f"<think>\nA tool.\n</think>\n{_CALL}"),
]
"""What is asked, the tools, whether it thinks, the answer."""
STEPS = 400
ENOUGH = 0.004
"""The mean loss at which it knows its answers."""


def make(cache: Path) -> None:
    """Train it, and write it below a cache."""
    place = cache / "hub" / f"models--{NAME.replace('/', '--')}"
    directory = place / "snapshots" / REVISION
    directory.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(REVISION)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(directory)
    shape = {
        "model_type": "llama",
        "hidden_size": 96,
        "num_hidden_layers": 2,
        "intermediate_size": 192,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "head_dim": 32,
        "rms_norm_eps": 1e-5,
        "vocab_size": len(tokenizer),
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4096,
    }
    mx.random.seed(7)
    model = Model(ModelArgs.from_dict(shape))
    _learn(model, tokenizer)
    weights = dict(tree_flatten(model.parameters()))
    file = "model.safetensors"
    mx.save_safetensors(str(directory / file), weights, metadata={"format": "mlx"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(weights, file)}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    shape |= {"architectures": ["LlamaForCausalLM"], "eos_token_id": tokenizer.eos_token_id}
    (directory / "config.json").write_text(json.dumps(shape))


def _tokenizer() -> Any:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([answer for *_, answer in LEARNS], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, additional_special_tokens=[BEGIN]
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _learn(model: Any, tokenizer: Any) -> None:
    rows = []
    for text, tools, thinks, answer in LEARNS:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            tools=tools,
            add_generation_prompt=True,
            enable_thinking=thinks,
            tokenize=False,
        )
        parts = [
            tokenizer.encode(part, add_special_tokens=False) for part in (prompt, answer + END)
        ]
        rows.append((len(parts[0]), parts[0] + parts[1]))
    longest = max(len(row) for _, row in rows)
    texts = mx.array([row + [0] * (longest - len(row)) for _, row in rows])
    counts = mx.array(
        [[float(start <= at + 1 < len(row)) for at in range(longest - 1)] for start, row in rows]
    )
    optimizer = AdamW(learning_rate=3e-3)

    def loss(model: Any) -> Any:
        each = nn.losses.cross_entropy(model(texts[:, :-1]), texts[:, 1:])
        return (each * counts).sum() / counts.sum()

    step = nn.value_and_grad(model, loss)
    for _ in range(STEPS):
        found, gradients = step(model)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state)
        if float(found) < ENOUGH:
            return
    raise SystemExit(f"it did not learn its answers: a loss of {float(found):.4f}")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
