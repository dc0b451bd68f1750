"""Discovery between machines of their own, on networks laid for the test (`make netns`)."""
