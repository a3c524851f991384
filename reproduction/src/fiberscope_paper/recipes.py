"""How the paper trains its networks [appendix A4]."""

from __future__ import annotations

from fiberscope.demo.training import Optimizer, Recipe

MNIST = Recipe()
"""Adam, 25 epochs, batches of 1,000."""

CIFAR = Recipe(100, 32, 1e-4, optimizer=Optimizer.RMSPROP, decay=1e-6, flat=False)
"""That of the Keras example cifar10_cnn: RMSprop, 100 epochs, batches of 32."""

__all__ = ["CIFAR", "MNIST"]
