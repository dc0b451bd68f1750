"""The link between a front and control: facts up, grants and state down."""
