"""The settings that decisions depend on."""

import msgspec


class Settings(msgspec.Struct):
    """The settings in force that decisions depend on; each is recorded at every start.

    What decides otherwise than before is a setting that is off here and on in `herd.config`: in a
    log of before it is not recorded, so that its decisions are made again as they were.
    """

    rules: int = 0
    hold_timeout_s: float = 30.0
    queue_timeout_s: float = 600.0
    stale_timeout_s: float = 600.0
    front_timeout_s: float = 0.0
    ends_stand: bool = False
    max_queue: int = 512
    max_queue_total: int = 4096
    max_retries: int = 2
    degraded_after_s: float = 15.0
    offline_after_s: float = 30.0
    interactive_ahead_s: float = 60.0
    batch_behind_s: float = 300.0
    length_behind: float = 0.0
    fair_shares: bool = False
    shares_over_models: bool = False
    predictions: bool = False
    range_low: float = 0.3
    make_room: bool = False
    empty_answers_fail: bool = False
    stall_timeout_s: float = 0.0
    longest_open_s: float = 160.0
    slow_times: float = 0.0
    refused_for_s: float = 0.0
    context_protection: str = "passthrough"
    fallback_models: bool = False
    vram_fallback: bool = False
    anthropic_fallback: bool = False
    model_aliases: str = ""
    prefix_affinity: bool = False
    planner: bool = False
    translate_ollama: bool = False
    lengths_by_app: bool = False
    lengths_by_size: bool = False
    lengths_by_last: bool = False
    streams_as_asked: bool = False
    running_by_length: bool = False
    foresight: bool = False
    patience: bool = False
    wake_on_lan: bool = False
    policy: str = "resident-first"
    auto_pull: bool = False
    cloud_names: bool = False
    auto_pull_timeout_s: float = 300.0
    auto_pull_max_bytes: int = 20_000_000_000
