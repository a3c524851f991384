"""Section 3 of the paper: how stable the inverse of a network is."""
