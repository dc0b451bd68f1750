"""What stands between somebody and a working herd: each link of the chain, looked at."""
