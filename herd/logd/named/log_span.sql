-- From where to where the log goes.
SELECT coalesce(min(seq), 0) AS first_seq, coalesce(max(seq), 0) AS last_seq FROM events
