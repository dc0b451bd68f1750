-- From where to where the log goes.
SELECT getvariable('first_seq') AS first_seq, getvariable('last_seq') AS last_seq
