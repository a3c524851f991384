"""What all penalties have in common: a module, its layers, and a number for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fiberscope.errors import InputError, shown
from fiberscope.scalars import as_flag, as_several
from fiberscope.training.recording import RecordedLayer, chosen_layers, recorded_layers, unwrapped
from fiberscope.training.rows import LayerRows

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _outside_of_compiled_code(function: _Function) -> _Function:
    return cast(Any, torch.compiler.disable)(function)


class LayerPenalty(nn.Module):
    """A number for a batch that is added to the loss: the mean over the layers that are chosen.

    ``penalty(x)`` runs the module on x as in evaluation mode and reads off its layers. Nothing is kept between two
    calls: the same weights and the same batch give the same number. It has gradients with respect to the parameters;
    x counts as data.

    Args:
        module: the module that is trained; it may be compiled, or wrapped to run on several devices.
        layers: the numbers of the layers that are meant, counted as in ``Network.relu_layers``: affine maps with an
            activation behind them, in the order in which they are run. Negative ones count from the end; None for all.

    Raises:
        InputError: no module, no such layer, or a module without a layer; the last two perhaps only when it is called.
    """

    def __init__(self, module: nn.Module, layers: int | Sequence[int] | None = None) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance] - users pass anything
            raise InputError("module", expected="a torch.nn.Module", got=shown(module))
        self.module = module
        self.layers: tuple[Any, ...] | None = None if layers is None else as_several(layers, "layers")
        if self.layers == ():
            raise InputError("layers", expected="the numbers of some layers", got="none", hint="None stands for all")
        self._check_at_once()

    @_outside_of_compiled_code
    def forward(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, ""]:
        """The penalty of a batch x, as the module takes it, in full precision whatever the loss is computed in."""
        if not isinstance(x, Tensor) or x.ndim < 2 or not len(x):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputError("x", expected="a batch of at least one sample, (N, ...)", got=shown(x))
        keeps = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        full = torch.autocast(x.device.type, enabled=False)
        with torch.inference_mode(mode=False), torch.set_grad_enabled(keeps), full:
            return self.of_batch(x)

    def of_batch(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, ""]:
        """The mean over layers."""
        layers = chosen_layers(recorded_layers(self.module, x), self.layers)
        return torch.stack([self.of_layer(layer) for layer in layers]).mean()

    def of_layer(self, layer: RecordedLayer) -> Float[Tensor, ""]:
        """The number for one layer, as it was run on the batch."""
        raise NotImplementedError

    def _check_at_once(self) -> None:
        """Refuse a module that takes flat samples, if it has no such layers, before training begins."""
        inner = unwrapped(self.module)
        sizes = dict.fromkeys(part.in_features for part in inner.modules() if isinstance(part, nn.Linear))
        for size in sizes:
            try:
                with torch.no_grad():
                    recorded_layers(inner, torch.zeros(1, size))
            except InputError:
                continue
            self._check_layers(torch.zeros(1, size))
            return

    def _check_layers(self, x: Float[Tensor, "1 n"]) -> None:
        """Refuse layers that are not there."""
        with torch.no_grad():
            chosen_layers(recorded_layers(self.module, x), self.layers)


class RowPenalty(LayerPenalty):
    """A penalty on the rows that the activation keeps or removes, the mean over the samples of a batch.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise.
        hide: whether the wish is turned round: smaller is then harder to invert.
    """

    def __init__(self, module: nn.Module, layers: int | Sequence[int] | None = None, *, hide: bool = False) -> None:
        super().__init__(module, layers)
        self.hide = as_flag(hide, "hide")

    def of_layer(self, layer: RecordedLayer) -> Float[Tensor, ""]:
        """The mean over samples."""
        return self.of_rows(LayerRows(layer)).mean()

    def of_rows(self, rows: LayerRows) -> Float[Tensor, " N"]:
        """A number for each sample."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The options, on the line of the penalty."""
        return f"layers={self.layers}, hide={self.hide}"


__all__ = ["LayerPenalty", "RowPenalty"]
