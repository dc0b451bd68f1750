"""The log, run again through the code that wrote it."""
