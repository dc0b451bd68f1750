-- From where to where the log goes, and up to where it was counted.
SELECT
    getvariable('first_seq') AS first_seq,
    getvariable('last_seq') AS last_seq,
    least(getvariable('tail_seq'), getvariable('health_seq')) AS counted_seq
