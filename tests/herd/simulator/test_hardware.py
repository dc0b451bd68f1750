import itertools

import msgspec
import pytest

from herd.simulator import hardware, profiles
from herd.simulator.hardware import Step


def test_one_stream_decodes_at_about_bandwidth_over_weights() -> None:
    spec, model = profiles.studio(), profiles.LLAMA_70B
    reached = 800e9 * spec.bandwidth_share / model.facts.size_bytes
    assert hardware.decode_tokens_per_s(spec, model) == pytest.approx(reached, rel=0.02)


def test_prefill_is_bound_by_arithmetic() -> None:
    spec, model = profiles.tower(), profiles.QWEN_7B
    reached = spec.flops_per_s / (2 * model.parameters)
    assert hardware.prefill_tokens_per_s(spec, model) == pytest.approx(reached, rel=0.02)


MEASURED = [
    # bandwidth, share reached, flops, parameters, weights, pp512, tg128
    (800e9, 0.6, 17e12, 6_738_415_616, 13.48e9, 1265, 41.0),  # M2 Ultra, 7B F16
    (120e9, 0.85, 3.6e12, 8_030_261_248, 4.92e9, 225, 20.9),  # M4, 8B Q4_K_M
]


@pytest.mark.parametrize("measured", MEASURED)
def test_public_measurements_come_out_within_a_quarter(measured: tuple[float, ...]) -> None:
    bandwidth, share, flops, parameters, weights, prefill, decode = measured
    studio = profiles.studio()
    facts = msgspec.structs.replace(studio.facts, bandwidth_bytes_per_s=int(bandwidth))
    spec = msgspec.structs.replace(studio, facts=facts, bandwidth_share=share, flops_per_s=flops)
    sized = msgspec.structs.replace(profiles.LLAMA_3B.facts, size_bytes=int(weights))
    model = msgspec.structs.replace(profiles.LLAMA_3B, facts=sized, parameters=int(parameters))
    assert hardware.prefill_tokens_per_s(spec, model) == pytest.approx(prefill, rel=0.25)
    assert hardware.decode_tokens_per_s(spec, model) == pytest.approx(decode, rel=0.25)


def test_the_sum_of_tokens_rises_with_the_batch_and_then_flattens() -> None:
    spec, model = profiles.studio(), profiles.LLAMA_3B
    rates = [hardware.decode_tokens_per_s(spec, model, batch) for batch in (1, 2, 4, 64, 128)]
    assert rates[1] > 1.9 * rates[0]
    assert rates[2] > 1.9 * rates[1]
    assert rates[4] == pytest.approx(rates[3], rel=0.05)
    assert all(later >= earlier for earlier, later in itertools.pairwise(rates))


def test_a_part_in_system_memory_and_a_neighbour_slow_a_step_down() -> None:
    spec, model = profiles.tower(), profiles.QWEN_7B
    alone = hardware.step_s(spec, model, Step(tokens=1))
    assert hardware.step_s(spec, model, Step(tokens=1, sharing=2)) == 2 * alone
    offloaded = hardware.step_s(spec, model, Step(tokens=1, offloaded_bytes=2_000_000_000))
    assert offloaded > 3 * alone
    assert hardware.step_s(spec, model, Step(tokens=1, cached_tokens=100_000)) > alone


def test_an_ideal_step_lasts_what_it_was_told() -> None:
    spec = profiles.ideal(0.01)
    assert hardware.step_s(spec, profiles.LLAMA_70B, Step(tokens=10_000, sharing=9)) == 0.01
    assert hardware.decode_tokens_per_s(spec, profiles.LLAMA_70B, 3) == pytest.approx(300)
    assert hardware.decode_tokens_per_s(profiles.ideal(), profiles.LLAMA_70B) == float("inf")
    assert hardware.prefill_tokens_per_s(profiles.ideal(), profiles.LLAMA_70B) == float("inf")


def test_a_load_takes_the_weights_from_disk_and_a_fixed_time() -> None:
    spec = profiles.studio()
    assert hardware.load_s(spec, profiles.LLAMA_70B) == pytest.approx(0.8 + 42.52 / 5, rel=0.01)
    assert hardware.load_s(profiles.ideal(), profiles.LLAMA_70B) == 0


@pytest.mark.parametrize(
    ("vram_gib", "context"),
    [(16, 4096), (22, 4096), (23, 32_768), (46, 32_768), (47, 262_144)],
)
def test_the_default_context_follows_the_video_memory_as_in_ollama(
    vram_gib: int, context: int
) -> None:
    facts = msgspec.structs.replace(profiles.mini().facts, vram_bytes=vram_gib * 1024**3)
    spec = msgspec.structs.replace(profiles.mini(), facts=facts, context_tokens=0)
    assert hardware.default_context(spec) == context


def test_a_context_is_clamped_to_what_was_trained_and_to_a_floor() -> None:
    spec = profiles.studio()
    assert hardware.context_for(spec, profiles.QWEN_7B, None) == 8192
    assert hardware.context_for(spec, profiles.QWEN_7B, 1_000_000) == 32_768
    assert hardware.context_for(spec, profiles.QWEN_7B, 0) == 4
    assert hardware.context_for(spec, profiles.NOMIC, None) == 2048
    untrained = msgspec.structs.replace(
        profiles.QWEN_7B, facts=msgspec.structs.replace(profiles.QWEN_7B.facts, context_length=0)
    )
    assert hardware.context_for(spec, untrained, 99_999) == 99_999


def test_keys_and_values_of_all_slots_count_in_the_size() -> None:
    spec, model = profiles.studio(), profiles.LLAMA_3B
    grown = hardware.resident_bytes(spec, model, 8192) - hardware.resident_bytes(spec, model, 4096)
    assert grown == 4 * 4096 * 114_688


def test_an_embedding_model_has_one_slot() -> None:
    assert hardware.slots_for(profiles.studio(), profiles.NOMIC) == 1
    assert hardware.slots_for(profiles.studio(), profiles.LLAMA_3B) == 4
    assert hardware.slots_for(profiles.ideal(), profiles.NOMIC) == hardware.UNBOUNDED


def test_only_the_studio_has_the_big_model_and_it_fits() -> None:
    holders = [
        name
        for name, profile in profiles.PROFILES.items()
        if profiles.LLAMA_70B in profile().models
    ]
    assert holders == ["studio", "ideal", "thinker"]
    for profile in profiles.PROFILES.values():
        spec = profile()
        for model in spec.models:
            context = hardware.context_for(spec, model, None)
            assert hardware.resident_bytes(spec, model, context) <= spec.facts.vram_bytes


def test_slots_can_be_set() -> None:
    assert profiles.with_slots(profiles.mini(), 7).facts.slots == 7
