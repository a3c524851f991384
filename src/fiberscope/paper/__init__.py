"""What the paper's experiments need: architectures, training, and data sets."""
