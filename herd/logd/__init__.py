"""logd: the sole owner of the DuckDB file, and what anybody can ask of the log."""
