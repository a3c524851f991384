"""Section 4 of the paper: different inputs with exactly the same features."""
