"""What if: the recorded requests once more, under another policy or on another fleet.

So far the first half: what the log shows (`evidence`), stretches of work with what ran beside them
(`observe`), and the speed of each model on each node that explains them (`fit`). `herd.virtual`
plays a script on machines of these speeds.
"""
