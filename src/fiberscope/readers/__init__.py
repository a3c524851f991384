"""One package per format that networks are read from; each framework is imported only by its own reader."""
