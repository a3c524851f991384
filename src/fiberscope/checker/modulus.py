"""How far apart inputs near a center are, if an affine map, units, an affine map, ... give nearly the same for them.

Let x and x' lie in a ball around c. A clip moves by some share in [0, 1] of what it is moved by: 1 for units that are
between their bounds on the whole ball (on), 0 for those beyond them (off), and unknown for the others U_l (unsure). So
every difference of the numbers z_L before the last clip is a product,

    z_L(x') - z_L(x) = J (x' - x),   J = A_L D_(L-1) A_(L-1) ... D_1 A_1,   D_l diagonal with these shares.

A strictly increasing unit moves by a share between the least and the largest slope of its secants on the ball
(``fiberscope.checker.slopes``): the middle stands in C, and columns of P are multiplied by how far these are apart.

With 1/2 for every unknown share J is C. What is between them is a telescoping sum in which shares are off by at most
1/2: with P_kl the midpoint product from the units U_k to z_l,

    |J - C|  <= 1/2 sum_k |P_kL| e_k,    e_l = |C_l[U_l]| + 1/2 sum_(k<l) |P_kl[U_l]| e_k  >=  |rows U_l of J_l|,

and row by row the same sum bounds ``|z_i(x') - z_i(c)|`` by r times the row's part: that decides on, off and unsure,
layer by layer, from the first. Rows of J may be left out. So on rows that all products of the ball share,
``|F(x') - F(x)| >= (sigma_n(C) - |J - C|) |x' - x|``; without norms of the parts by themselves,
``fiberscope.checker.unsure`` proves far more.

At one point of the ball the same products with r = 0 leave no unit unsure but those at a kink. J of a linear region
that reaches the point lies as near to C, so that ``|J v| <= |C v| + |J - C| |v|``, over the rows that may be on, bounds
the modulus from above.

All of it is float64 with the rounding of every product carried along: a matrix comes with a bound on the distance of
each of its rows from the exact one. Convolutions leave rows that are windows of the input: they stay sparse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fiberscope.checker.affine import dense, unit
from fiberscope.checker.center import center_of
from fiberscope.checker.curves import Curves
from fiberscope.checker.matrices import (
    ROUNDING,
    SMALLEST_NORMAL,
    FloatArray,
    Matrix,
    NotProvedError,
    norm_above,
    norm_below,
    product_error,
    relative_error,
    row_norms_above,
    singular_values_exceed,
)
from fiberscope.checker.midpoint import Ball
from fiberscope.checker.reading import LayerRows, StoredNetwork
from fiberscope.checker.rounded import Rounded, least_stretch, times
from fiberscope.checker.stored import INPUT
from fiberscope.checker.unsure import Form, plain
from fiberscope.errors import ModelError

AGAIN = 2**30
"""Multiplications that a second attempt to prove a given modulus may cost: a fraction of a second."""


@dataclass(frozen=True, eq=False)
class Modulus:
    """``|F(x') - F(x)| >= lower |x' - x|`` for all x and x' of a ball.

    Attributes:
        lower: proved; 0 where nothing is.
        rows: how many outputs that is proved by: those that are on in the whole ball.
        unsure: how many units of each layer before are on in a part of the ball only, as far as is proved.
    """

    lower: float
    rows: int
    unsure: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Near:
    """Every x of a ball around c whose outputs lie in given intervals satisfies this.

    Attributes:
        widths: (n,) bounds on ``|x_j - c_j|``.
        distance: a bound on ``|x - c|``.
    """

    widths: FloatArray
    distance: float


@dataclass(frozen=True, eq=False)
class Middle:
    """The midpoint product C on a ball.

    Attributes:
        matrix: (p, n) its rows that count, or are asked for.
        doubt: ``|J - C| <= doubt`` for all products J of the ball.
    """

    matrix: Matrix
    doubt: float


def chain_of(network: StoredNetwork, layer: int) -> tuple[LayerRows, ...]:
    """The layers up to one, each of which takes what the one before gives; NotProvedError where it is not so."""
    if not 0 <= layer < len(network.layers):
        raise NotProvedError(f"the network has no layer {layer}")
    return _read(network, network.layers[layer].number)


def chain_to(network: StoredNetwork, stage: int) -> tuple[LayerRows, ...]:
    """The layers up to a stage, the last of them without a clip where it is affine; NotProvedError if they are none.

    Strictly increasing units at the end move outputs by their slopes, as those between maps do: nothing follows them.
    """
    chain = _read(network, stage)
    if not chain[-1].curves.monotone.any():
        return chain
    m = len(chain[-1].bias)
    clips = Curves.unknown(np.zeros(m, dtype=np.bool_))
    same = LayerRows(unit(np.ones(m)), np.zeros(m), np.full(m, -np.inf), np.full(m, np.inf), clips)
    return (*chain, same)


def _read(network: StoredNetwork, stage: int) -> tuple[LayerRows, ...]:
    try:
        return tuple(_rows_to(network, stage))
    except ModelError as error:  # rows that leave float64's range, or branches that meet
        raise NotProvedError(str(error)) from error


def _rows_to(network: StoredNetwork, stage: int) -> Iterator[LayerRows]:
    before = INPUT
    for judged in (layer for layer in network.layers if layer.number <= stage):
        if judged.source != before or judged.inner:
            raise NotProvedError("the layers are no chain: something else lies between them, or branches meet")
        yield judged.system_rows()
        before = judged.number
    if before != stage:
        if not 0 <= stage < len(network.stages) or network.stages[stage].activation is not None:
            raise NotProvedError("the stages up to that one are no chain of affine maps and units")
        last, source = network.affine_rows(stage)
        if source != before:
            raise NotProvedError("the layers are no chain: something else lies between them")
        yield last


class Around:
    """The balls around one center (n,): what their radius does not change is computed once.

    Raises:
        NotProvedError: this is no chain of affine maps and units, or it is too large.
    """

    def __init__(self, chain: Sequence[LayerRows], center: FloatArray) -> None:
        self._center = center_of(chain, center).kept()

    def within(self, radius: float) -> Held:
        """What is known on the ball of a radius of at least 0; NotProvedError as above."""
        ball = Ball(self._center, radius)
        on, _ = ball.pieces()
        rows, unsure = np.flatnonzero(on), tuple(len(units) for units, _ in ball.unsure_of)
        return Held(ball.middle.rows(rows), ball.form(rows) if any(unsure) else None, unsure)


@dataclass(frozen=True, eq=False)
class Held:
    """What proves moduli on one ball.

    Attributes:
        middle: C on the outputs that are on in the whole ball.
        form: with what unsure units may take; None where there are none, or nothing is proved.
        unsure: how many units of each layer before are on in a part of the ball only, as far as is proved.
    """

    middle: Rounded
    form: Form | None
    unsure: tuple[int, ...]

    def modulus(self) -> Modulus:
        """The largest that is proved, nearly."""
        if not any(self.unsure):
            lower = least_stretch(self.middle, 0.0)
        else:
            lower = 0.0 if self.form is None else self.form.largest()
        return Modulus(lower, len(self.middle.error), self.unsure)

    def exceeds(self, kappa: float) -> bool:
        """Prove that the modulus is at least kappa: for less than what it takes to find one."""
        return self.about(kappa) is not None

    def about(self, kappa: float) -> float | None:
        """About the largest modulus that could be proved, at least kappa; None where not even kappa is proved."""
        form = self.form if any(self.unsure) else plain(self.middle)
        found = None if form is None else form.about(kappa)
        if form is None or found is not None or any(self.unsure):
            return found
        B, n = self.middle.value, self.middle.value.shape[1]
        small = len(self.middle.error) * n * n <= AGAIN  # nearly singular: more than Gram matrices resolve
        proved = small and singular_values_exceed(B, (kappa + norm_above(self.middle.error)) * ROUNDING, AGAIN)
        return kappa if proved else None


def modulus(chain: Sequence[LayerRows], center: FloatArray, radius: float) -> Modulus:
    """The modulus of a chain on the ball of that radius (Euclid, at least 0) around a center (n,).

    Raises:
        NotProvedError: this is no chain of affine maps and units, or it is too large.
    """
    return Around(chain, center).within(radius).modulus()


def exceeds(chain: Sequence[LayerRows], center: FloatArray, radius: float, kappa: float) -> bool:
    """Prove that the modulus is at least kappa: for less than what it takes to find one.

    Raises:
        NotProvedError: as for ``modulus``.
    """
    return Around(chain, center).within(radius).exceeds(kappa)


def never_bends(chain: Sequence[LayerRows]) -> bool:
    """Whether it is one affine map that nothing cuts off, so that a modulus on one ball is one everywhere."""
    return len(chain) == 1 and not (np.isfinite(chain[0].low).any() or np.isfinite(chain[0].high).any())


def region_at(chain: Sequence[LayerRows], point: FloatArray) -> Middle:
    """J of every linear region that reaches a point, up to ``doubt``: the rows that may be on.

    Raises:
        NotProvedError: as for ``modulus``.
    """
    ball = Ball(center_of(chain, point).kept(), 0.0)
    middle, rows = ball.middle, np.arange(len(ball.z))
    return Middle(middle.value, (norm_above(middle.error) + ball.loss(rows)) * ROUNDING)


def attained(chain: Sequence[LayerRows], point: FloatArray, direction: FloatArray) -> float:
    """A number that the modulus of no convex set exceeds whose interior the linear region at a point meets.

    It is ``|J v| / |v|`` along a direction v; 0 where J has fewer rows than v has numbers other than 0: then J maps
    another direction on these coordinates to 0.

    Raises:
        NotProvedError: as for ``modulus``, or the direction is none.
    """
    if direction.shape != point.shape or not np.isfinite(direction).all():
        raise NotProvedError("expected a direction of the size of the input")
    region, length = region_at(chain, point), norm_below(direction)
    p, n = region.matrix.shape
    if p < np.count_nonzero(direction):
        return 0.0
    if not length > 0:
        raise NotProvedError("the direction is zero")
    moved, whole = np.asarray(region.matrix @ direction), norm_above(direction)
    error = norm_above(product_error(row_norms_above(region.matrix), whole, n))
    return (norm_above(moved) + error + region.doubt * whole) / length * ROUNDING * ROUNDING


def near(
    chain: Sequence[LayerRows], center: FloatArray, radius: float, low: FloatArray, high: FloatArray, rounds: int
) -> Near:
    """Where inputs of a ball lie whose outputs lie in ``[low, high]`` (m,): nearer to the center, if that is proved.

    A unit with ``low`` above its smallest output and ``high`` below its largest tells z itself, to that interval. With
    these rows of J, ``beta_i >= |z_i(x) - z_i(c)|`` and a left inverse L of C, as good as float64 finds one,

        |x - c| <= |beta| / (sigma_n(C) - |J - C|),
        |x_j - c_j| <= sum_i |L_ji| beta_i + (|L_j| |J - C| + |(L C - 1)_j|) |x - c|.

    Each round asks the same of the smaller ball that the one before it left.

    Args:
        chain: the layers.
        center: (n,) c.
        radius: of the ball; inf for all inputs.
        low: (m,) -inf for no lower bound.
        high: (m,) likewise.
        rounds: at least one.

    Raises:
        NotProvedError: as for ``modulus``.
    """
    with np.errstate(all="ignore"):
        out = Near(np.full(center.shape, radius), radius)
        start = center_of(chain, center)
        for _ in range(max(1, rounds)):
            out = _nearer(Ball(start, out.distance), low, high, out)
    return out


def _nearer(ball: Ball, low: FloatArray, high: FloatArray, known: Near) -> Near:
    """What the outputs say of the inputs of this ball, or what is known of them."""
    layer = ball.chain[-1]
    if not low.shape == high.shape == ball.z.shape:
        raise NotProvedError("the outputs' intervals are not one for each unit")
    rows = np.flatnonzero((low > layer.low) & (high < layer.high) & np.isfinite(low) & np.isfinite(high))
    C, loss = ball.middle.rows(rows), ball.loss(rows)
    sigma = least_stretch(C, loss)
    if not sigma > 0:
        return known
    beta = np.maximum(np.abs(high[rows] - ball.z[rows]), np.abs(low[rows] - ball.z[rows])) * ROUNDING
    beta = (beta + ball.error[rows]) * ROUNDING + SMALLEST_NORMAL
    distance = min(known.distance, norm_above(beta) / sigma * ROUNDING)
    widths = np.minimum(known.widths, distance)
    written = Rounded(dense(C.value), C.error)
    L: FloatArray = np.asarray(np.linalg.pinv(written.value), dtype=np.float64)
    inverse = times(L, written)
    inverse.value[np.diag_indices(len(L))] -= 1.0
    along = np.abs(L) @ beta * (1.0 + relative_error(len(rows)))
    across = row_norms_above(L) * loss + inverse.norms()
    if np.isfinite(along).all() and np.isfinite(across).all():
        widths = np.minimum(widths, (along + across * distance * ROUNDING) * ROUNDING)
        widths = widths + 4.0 * (len(rows) + 1) * SMALLEST_NORMAL
        distance = min(distance, norm_above(widths))
    return Near(widths, distance)


__all__ = [
    "Around",
    "Held",
    "Middle",
    "Modulus",
    "Near",
    "attained",
    "chain_of",
    "chain_to",
    "exceeds",
    "modulus",
    "near",
    "never_bends",
    "region_at",
]
