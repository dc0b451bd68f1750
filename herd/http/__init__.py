"""HTTP on both sides: towards clients and towards nodes. The only package that parses it."""
