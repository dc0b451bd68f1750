-- The ends of attempts and requests, the newest first, of at most `window` events.
SELECT seq, request_id
FROM events
WHERE kind IN ($kinds)
    AND seq < $before
    AND seq > $after
    AND seq > least($before, getvariable('last_seq') + 1) - $span
    AND ($model = '' OR model = $model)
    AND ($node = '' OR node_id = $node)
ORDER BY seq DESC
LIMIT $limit
