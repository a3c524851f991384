"""Reading networks from torch modules, and from programs of ``torch.export``."""

from fiberscope.readers.torch.reader import from_torch

__all__ = ["from_torch"]
