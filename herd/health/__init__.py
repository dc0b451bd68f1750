"""Whether the fleet is well: pure checks over what control shows and what the log tells."""
