"""fiberscope: exact, certified preimages of ReLU layers.

The public names are listed in ``__init__.pyi``. Each is imported from its module when it is first used, so that
``import fiberscope`` loads neither torch nor any solver.
"""

import lazy_loader

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)  # pyright: ignore[reportUnknownVariableType]

del lazy_loader
