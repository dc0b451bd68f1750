"""The commands, one small file each; `herd/cli.py` lists and imports them, late."""
