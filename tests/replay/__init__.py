"""A log with known decisions: every Python must make the same ones again, to the last bit."""
