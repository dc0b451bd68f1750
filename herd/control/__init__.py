"""Control: the run queue on a loop, the journal behind it, and the fleet as fronts see it."""
