"""A whole herd in virtual time: the real core, simulated machines, one front with its clients.

Nothing waits: an hour passes in seconds. The core is the one that runs live (`actors.run_queue`),
so a world can be asked what a policy would do on given machines under given requests, and its log
is a log like any other. No clock and no chance: all that happens is in the script.
"""
