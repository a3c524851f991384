"""Section 2 of the paper: what a ReLU layer's output says about its input, decided and proved."""
