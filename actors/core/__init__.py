"""What follows from what: states, folds and decisions. No clock, no I/O, no threads, no chance."""
