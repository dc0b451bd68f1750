// What the settings that can change are about, in the order in which a request meets them.

const ABOUT = {
  Waiting: ["hold_timeout_s", "queue_timeout_s", "max_queue", "max_queue_total", "make_room", "fair_shares", "shares_over_models", "interactive_ahead_s", "batch_behind_s", "length_behind"],
  "Choosing a node": ["policy", "rules", "predictions", "lengths_by_app", "lengths_by_size", "lengths_by_last", "streams_as_asked", "running_by_length", "range_low", "foresight", "patience", "prefix_affinity", "planner", "translate_ollama"],
  "When a node fails": ["max_retries", "degraded_after_s", "offline_after_s", "stale_timeout_s", "front_timeout_s", "ends_stand", "stall_timeout_s", "longest_open_s", "slow_times", "refused_for_s", "empty_answers_fail", "wake_on_lan"],
  Models: ["model_aliases", "fallback_models", "vram_fallback", "anthropic_fallback", "context_protection", "auto_pull", "cloud_names", "auto_pull_timeout_s", "auto_pull_max_bytes"],
};

// Rows by what they are about; those that are about nothing known come last.
export function grouped(rows) {
  const known = new Map(rows.map((row) => [row.key, row]));
  const found = Object.entries(ABOUT).map(([title, keys]) => [title, keys.map((key) => known.get(key)).filter(Boolean)]);
  const named = new Set(Object.values(ABOUT).flat());
  return [...found, ["More", rows.filter((row) => !named.has(row.key))]].filter(([, rows]) => rows.length > 0);
}
