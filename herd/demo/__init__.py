"""`herd demo`: a balancer, unequal nodes, sample traffic, and a live picture of it all."""
