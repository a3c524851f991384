"""A penalty on the map from the input to what a layer gives, through all layers before it: its condition number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log1p, prod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fiberscope.scalars import as_count, as_flag, as_number
from fiberscope.training.algebra import eigh, full, parts
from fiberscope.training.frame import AT_ONCE, SOFTNESS, random_signs
from fiberscope.training.krylov import lanczos
from fiberscope.training.penalty import LayerPenalty
from fiberscope.training.recording import LayerOutputs, chosen_numbers
from fiberscope.training.rows import DENSE_INPUTS
from fiberscope.training.slopes import SoftSlopes


class JacobianCondition(LayerPenalty):
    """The condition number of the local linear map J from the module's input to what a layer gives.

        mean over samples of log((1 + delta) / (lambda + delta)) / log((1 + delta) / delta),
        lambda = sigma_n(J)^2 / sigma_1(J)^2 = 1 / cond(J)^2

    With softness 0, J is that of ``linearize``: everything that the module does to a sample up to and with that
    activation, whatever functions there are in between. ``sigma_n`` is 0 if the layer gives fewer numbers than the
    sample has, or if too few of them are kept somewhere on the way; then the gradient is 0, too. And nothing asks for
    rows that are kept: lambda grows as well if the largest singular value falls, along the mean of the samples, by
    which all units lose. Otherwise the slope of unit i of every layer that cuts off is a number between 0 and 1,

        sqrt(1 / (1 + exp(-r_i / softness))),    r_i = z_i / rms_j(z_j),

    (of a clip, from the nearer of its two ends): of one layer, ``J^T J`` is then the expected one, if logistic noise of
    that size, in root mean squares of all values, decides what is kept, and rows that matter in the weakest direction
    are pulled to the side on which they are. And lambda is multiplied with the square of the layer's largest slope, so
    that a layer of which no unit is on does not count like one of which all are. Scaling the outputs of a layer changes
    nothing.

    Singular vectors are found without a gradient and J is multiplied with them with one, by the derivatives that torch
    has (two backward passes): exactly for samples of fewer than 512 numbers, at the cost of a backward pass for each
    of them; otherwise by ``steps`` steps of Lanczos's method on ``J^T J``, which give at least lambda.

    Args:
        module: see ``LayerPenalty``.
        layers: likewise; layers in which branches meet are as good as others.
        delta: the lambda from which on less is hardly worse: 1e-6 for condition numbers to about 1,000.
        softness: see above.
        steps: see above.
        hide: ask for lambda 0 instead: 1 minus the above.

    Returns:
        From 0 (condition number 1) to 1 (not injective; with softness, nearly).

    Source: section 3 of the paper; section 13 of the theory; C. Lanczos 1950.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: int | Sequence[int] | None = None,
        *,
        delta: float | int = 1e-6,
        softness: float | int = SOFTNESS,
        steps: int = 48,
        hide: bool = False,
    ) -> None:
        super().__init__(module, layers)
        self.delta, self.steps = as_number(delta, "delta", above=0.0), as_count(steps, "steps")
        self.softness, self.hide = as_number(softness, "softness", least=0.0), as_flag(hide, "hide")

    def of_batch(self, x: Float[Tensor, "N ..."]) -> Float[Tensor, ""]:
        """The mean over layers and samples; as many samples at a time as their matrices leave room for."""
        with torch.no_grad():
            found = LayerOutputs.of(self.module, x)
            outputs = max(found.outputs[number][0].numel() for number in chosen_numbers(found, self.layers))
        size = max(1, AT_ONCE // max(1, x[0].numel() * outputs))
        with_gradient = torch.is_grad_enabled()
        total = x.new_zeros((), dtype=torch.float32)
        with torch.enable_grad():  # J is a derivative, whether or not one of the penalty is wanted
            for part in parts(x, size):
                maps = local_maps(self.module, part, self.layers, self.softness)
                found = torch.stack([self._of_map(each) for each in maps])
                total = total + (found if with_gradient else found.detach()).mean(dim=0).sum()
        return total / len(x)

    def _check_layers(self, x: Float[Tensor, "1 n"]) -> None:
        """Refuse layers that are not there; those in which branches meet are."""
        with torch.no_grad():
            chosen_numbers(LayerOutputs.of(self.module, x), self.layers)

    def _of_map(self, J: LocalMap) -> Float[Tensor, " N"]:
        share = shares(J, self.steps)
        missing = (log1p(self.delta) - (share + self.delta).log()) / (log1p(self.delta) - log(self.delta))
        return 1.0 - missing if self.hide else missing

    def extra_repr(self) -> str:
        """The options, on the line of the penalty."""
        return f"layers={self.layers}, hide={self.hide}"


@dataclass(frozen=True, eq=False)
class LocalMap:
    """The Jacobian J of a layer's output with respect to the input, of each of N samples.

    Attributes:
        start: (N, *shape) the input.
        output: (N, *shape) what the layer gives.
        seeds: zeros like the output, in place of u in ``J^T u``.
        pulled: ``J^T seeds``, of which J is the derivative with respect to the seeds.
        slopes: those that J has.
        strongest: (N,) the square of the layer's largest slope where slopes are softened; otherwise 1.
    """

    start: Tensor
    output: Tensor
    seeds: Tensor
    pulled: Tensor
    slopes: SoftSlopes
    strongest: Tensor

    @staticmethod
    def of(start: Tensor, output: Tensor, slopes: SoftSlopes, strongest: Tensor) -> LocalMap:
        """With the first of the two backward passes."""
        seeds = torch.zeros_like(output, requires_grad=True)
        with slopes.applied():
            (pulled,) = torch.autograd.grad(output, start, seeds, create_graph=True, materialize_grads=True)
        return LocalMap(start, output, seeds, pulled, slopes, strongest)

    @property
    def inputs(self) -> int:
        """The numbers of a sample, n."""
        return prod(self.start.shape[1:])

    @property
    def outputs(self) -> int:
        """The numbers that the layer gives, m."""
        return prod(self.output.shape[1:])

    def apply(self, V: Float[Tensor, "N n"], *, with_gradient: bool = False) -> Float[Tensor, "N m"]:
        """``J v`` of each sample; with a gradient with respect to parameters where that is asked for."""
        if not self.pulled.requires_grad:  # the output does not depend on the input
            return full(self.seeds.detach()).flatten(1)
        given = V.to(self.pulled.dtype).reshape(self.pulled.shape)
        (product,) = torch.autograd.grad(
            self.pulled, self.seeds, given, retain_graph=True, create_graph=with_gradient, materialize_grads=True
        )
        return full(product).flatten(1)

    def adjoint(self, U: Float[Tensor, "N m"]) -> Float[Tensor, "N n"]:
        """``J^T u`` of each sample; it has no gradient."""
        given = U.to(self.output.dtype).reshape(self.output.shape)
        with self.slopes.applied():
            (product,) = torch.autograd.grad(self.output, self.start, given, retain_graph=True, materialize_grads=True)
        return full(product).flatten(1)

    def matrix(self) -> Float[Tensor, "N m n"]:
        """J, column by column."""
        columns = torch.eye(self.inputs, dtype=self.start.dtype, device=self.start.device)
        return torch.stack([self.apply(each.expand(len(self.start), -1)) for each in columns], dim=2)


def local_maps(
    module: nn.Module, x: Float[Tensor, "N ..."], layers: Sequence[int] | None, softness: float
) -> list[LocalMap]:
    """The maps from the input to some layers of a module, as in evaluation mode, with softened slopes.

    Raises:
        InputError: see ``recorded_layers``; or samples are mixed, as by a batch norm without running statistics.
    """
    slopes = SoftSlopes(softness)
    found, maps = LayerOutputs.of(module, x, slopes), list[LocalMap]()
    for number in chosen_numbers(found, layers):
        output, softened = found.outputs[number], slopes.of(found.values[number], found.cuts[number])
        largest = output.new_ones(len(output)) if softened is None else softened.flatten(1).amax(dim=1)
        maps.append(LocalMap.of(found.start, output, slopes, full(largest).square()))
    return maps


def shares(J: LocalMap, steps: int) -> Float[Tensor, " N"]:
    """Lambda of each sample: ``sigma_n^2 / sigma_1^2``, 0 of fewer outputs than inputs and of J = 0."""
    if J.outputs < J.inputs:
        return full(J.output).flatten(1).sum(dim=1) * 0.0
    with torch.no_grad():
        first, last = _exact_vectors(J) if J.inputs < DENSE_INPUTS else _found_vectors(J, steps)
    largest, smallest = (J.apply(u, with_gradient=True).square().sum(dim=1) for u in (first, last))
    return J.strongest * torch.where(largest > 0, smallest / torch.where(largest > 0, largest, 1.0), 0.0)


def _exact_vectors(J: LocalMap) -> tuple[Float[Tensor, "N n"], Float[Tensor, "N n"]]:
    matrix = J.matrix().double()
    vectors = eigh(matrix.mT @ matrix)[1]
    return vectors[:, :, -1], vectors[:, :, 0]


def _found_vectors(J: LocalMap, steps: int) -> tuple[Float[Tensor, "N n"], Float[Tensor, "N n"]]:
    start = random_signs(len(J.start), J.inputs, full(J.start))
    space = lanczos(lambda V: J.adjoint(J.apply(V)), start, steps)
    return space.largest(), space.smallest()


__all__ = ["JacobianCondition", "LocalMap", "local_maps", "shares"]
