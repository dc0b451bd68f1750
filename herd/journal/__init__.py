"""The journal: every event, one line each, in files that one process appends to."""
