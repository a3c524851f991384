"""Reading networks from Keras models and files."""

from fiberscope.readers.keras.reader import from_keras, load_keras

__all__ = ["from_keras", "load_keras"]
