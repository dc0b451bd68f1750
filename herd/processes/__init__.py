"""The processes of a running herd: each file reads as its start order, stop in reverse."""
