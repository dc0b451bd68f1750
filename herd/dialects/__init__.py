"""What the APIs say and mean: pure translations between their bytes and our values."""
