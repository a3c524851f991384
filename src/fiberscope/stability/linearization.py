"""The local linear map of a network at a sample, by products; its matrix only for those who ask [section 3.1]."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from fiberscope.errors import InputError, shown
from fiberscope.memory import MATRIX_BYTES, check_size
from fiberscope.network.arrays import FloatArray, as_float64
from fiberscope.network.network import Network, check_network
from fiberscope.scalars import as_number, as_position
from fiberscope.showing.shown import Shown
from fiberscope.stability.devices import checked_device
from fiberscope.stability.local_network import LocalNetwork, local_network
from fiberscope.stability.region import RegionBoundary, nearest_boundary
from fiberscope.stability.windowed_rows import LocalRows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False, repr=False)
class Linearization(Shown):
    """The local linear map ``J = A_L D_{L-1} A_{L-1} ... D_1 A_1`` of a network at x, up to a stage.

    ``D`` holds the derivatives of the activations at x: of a ReLU, 1 where its input is positive and 0 elsewhere, so
    that at a kink the constant side counts.

    Attributes:
        local: the network around x.
        stage: the number of the stage.
        columns: the input coordinates that the map is restricted to; None for all.
        window_shape: the shape of what it is applied to; the network's input shape where nothing is restricted.
    """

    local: LocalNetwork = field(repr=False)
    stage: int
    columns: Int64[Tensor, " w"] | None = field(default=None, repr=False)
    window_shape: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): outputs of the stage, and input coordinates."""
        inputs = self.local.network.inputs if self.columns is None else len(self.columns)
        return self.local.network.stages[self.stage].outputs, inputs

    @property
    def T(self) -> Adjoint:  # noqa: N802  as arrays call it
        """The transposed map, for ``J.T @ u``."""
        return Adjoint(self)

    def __matmul__(self, v: Any) -> Any:
        """``J v`` for v (n,), or ``J V`` for V (n, k): a float64 array, or a tensor where v is one."""
        return _multiplied(self.forward, v, self.shape[1], "v", self.local.x.device)

    def forward(self, V: Float64[Tensor, "k n"]) -> Float64[Tensor, "k m"]:
        """``J v`` for each row v of V, on the device of the sample."""
        whole = V
        if self.columns is not None:
            whole = V.new_zeros(V.shape[0], self.local.network.inputs)
            whole[:, self.columns] = V
        *_, (_, values) = self.local.forward(whole, (self.stage,))
        return values

    def adjoint(self, U: Float64[Tensor, "k m"]) -> Float64[Tensor, "k n"]:
        """``J^T u`` for each row u of U, on the device of the sample."""
        back = self.local.adjoint(U, self.stage)
        return back if self.columns is None else back[:, self.columns]

    def matrix(self, *, max_bytes: int = MATRIX_BYTES) -> Float64[FloatArray, "m n"]:
        """Write J out.

        Args:
            max_bytes: the largest matrix to write out; its size is known before any work.

        Raises:
            InputError: the matrix is larger.
        """
        m, n = self.shape
        max_bytes = int(as_number(max_bytes, "max_bytes", least=0.0, below=np.inf))
        check_size("matrix", (m, n), max_bytes)
        rows = self.rows(max_bytes=max_bytes)
        out = np.zeros((m, n))
        out[rows.units.cpu().numpy()] = rows.whole().cpu().numpy()
        return out

    def rows(self, *, max_bytes: int = MATRIX_BYTES) -> LocalRows:
        """The rows of J, each as the window of the input outside which it is zero.

        Raises:
            InputError: the rows of a stage on the way take more than ``max_bytes``.
        """
        *_, (_, rows) = self.local.rows((self.stage,), self.columns, self.window_shape, max_bytes)
        return rows

    def window(self, slices: Any) -> Linearization:
        """The same map restricted to a window of the input: the columns of J that belong to its coordinates.

        Args:
            slices: an index of an array of the network's input shape, such as ``np.s_[:, 8:16, 8:16]``.

        Raises:
            InputError: the index does not fit, or selects nothing.
        """
        inside = np.arange(self.local.network.inputs).reshape(self.local.network.input_shape)
        try:
            chosen = inside[slices]
        except (IndexError, TypeError) as error:
            expected = f"an index of the input shape {self.local.network.input_shape}"
            hint = "write it with numpy's s_, as np.s_[:, 8:16, 8:16] of a picture, within the shape"
            raise InputError("window", expected=expected, got=shown(slices), hint=hint) from error
        if chosen.size == 0:
            raise InputError("window", expected="at least one input coordinate", got=f"none in {shown(slices)}")
        columns = torch.tensor(chosen.ravel(), device=self.local.x.device)
        return replace(self, columns=columns, window_shape=chosen.shape)

    @property
    def nearest_boundary(self) -> RegionBoundary | None:
        """The neuron whose kink is nearest to x, with the distance; None if nothing bends.

        Computed whenever it is asked for, from the rows of J at every neuron up to the stage, or from n
        products where these rows take too much.
        """
        return nearest_boundary(self.local, self.stage)

    @property
    def region_distance(self) -> float:
        """The Euclidean distance of x to the boundary of its activation region, over all neurons up to the stage.

        ``min_i |z_i| / |J_i|`` with the pre-activations z and the row of J up to each neuron; 0 where a smooth
        activation comes before, which is linear nowhere; infinite where nothing bends.
        """
        nearest = self.nearest_boundary
        return np.inf if nearest is None else nearest.distance

    def _line(self) -> str:
        return f"{self.shape[1]} -> {self.shape[0]}, stage {self.stage}"


@dataclass(frozen=True, eq=False)
class Adjoint:
    """The transposed local linear map.

    Attributes:
        T: the map itself.
    """

    T: Linearization

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        m, n = self.T.shape
        return n, m

    def __matmul__(self, u: Any) -> Any:
        """``J^T u`` for u (m,), or ``J^T U`` for U (m, k)."""
        return _multiplied(self.T.adjoint, u, self.T.shape[0], "u", self.T.local.x.device)


def linearize(
    network: Network, x: Tensor | ArrayLike, stage: int | None = None, *, device: str = "cpu"
) -> Linearization:
    """The local linear map of a network at x.

    Args:
        network: the network.
        x: one sample, of the network's input shape or flat.
        stage: the number of the stage up to which and with which; negative numbers count from the end, None is the
            last.
        device: where products are computed.

    Returns:
        The map ``J`` of shape (m, n), applied with ``J @ v`` and ``J.T @ u``.

    Raises:
        InputError: there is no such stage, or x does not fit or is not finite.

    Source: section 3.1, after Wang et al. (2016).
    """
    number = checked_stage(network, -1 if stage is None else stage)
    point = torch.tensor(network.flat_sample(x), device=checked_device(device))
    return Linearization(local_network(network, point, number), number, None, network.input_shape)


def checked_stage(network: Network, stage: int) -> int:
    """The number of a stage, where negative ones count from the end.

    Raises:
        InputError: this is no network, or there is no such stage.
    """
    check_network(network)
    return as_position(stage, len(network.stages), "stage", hint="network.stages lists them")


def _multiplied(product: Any, v: Any, size: int, what: str, device: torch.device) -> Any:
    is_tensor = isinstance(v, Tensor) and not v.is_complex()
    values = v.to(device, torch.float64) if is_tensor else torch.tensor(as_float64(v, what), device=device)
    if values.ndim not in (1, 2) or values.shape[0] != size:
        raise InputError(what, expected=f"shape ({size},) or ({size}, k)", got=f"shape {tuple(values.shape)}")
    out = product(values[None] if values.ndim == 1 else values.T)
    out = out[0] if values.ndim == 1 else out.T
    return out if is_tensor else out.cpu().numpy()


__all__ = ["Adjoint", "Linearization", "checked_stage", "linearize"]
