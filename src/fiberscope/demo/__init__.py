"""The built-in demo, and the training that it needs."""
