"""Section 10 of the theory: what input belongs to features, found by an attack, and what is proved about it."""
