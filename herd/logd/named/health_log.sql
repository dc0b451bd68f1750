-- When the newest event was recorded.
SELECT epoch(max(recorded_at)) AS last_at_s FROM events
