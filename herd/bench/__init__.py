"""Measuring the live fleet: a process of its own sends requests, control tells it when.

`choosing` says which models, `sending` sends, `counting` makes figures of it, `words` are what
goes between the process and control; `__main__` is the process.
"""
