"""One false claim for each condition of the checker: what only that condition refuses.

Each is a system and claims about it, of which one at least is false and none of the false ones may be proved. Names say
what the certificate lies about.
"""

from __future__ import annotations

from false_faces import (
    of_batches,
    of_cones,
    of_counting,
    of_dimensions,
    of_other_relations,
    of_ranks,
    of_rows_in_a_batch,
)
from false_numbers import of_corrections, of_numbers, of_reading, of_residuals
from false_outputs import of_outputs, of_precisions, of_sides, of_statements
from false_tiles import of_tiles
from lies import UP_DOWN, Lie

from plain_claims import certificate, claim, floats, multipliers, radius, system


def all_of_them() -> list[Lie]:
    """The table."""
    families = (
        *(
            of_dimensions,
            of_ranks,
            of_other_relations,
            of_counting,
            of_cones,
            of_residuals,
            of_corrections,
            of_reading,
            of_outputs,
            of_batches,
            of_rows_in_a_batch,
            of_precisions,
            of_sides,
            of_statements,
            of_numbers,
            of_tiles,
        ),
    )
    return [each for family in families for each in family()]


def short_radii() -> list[str]:
    """Bounds on sizes that are too small."""
    out: list[str] = []
    between = system(UP_DOWN, [-0.1, -0.45])
    for sigma in (0.0, 0.5, 1.41):
        said = certificate("bounded", 1, recession=(multipliers([0, 1], [1.0, 1.0], sigma), None))
        if not radius(between, claim("bounded", 1, said, x=[0.0], m=2), floats([0.0])) >= 0.45:
            out.append(f"a segment of sigma {sigma}")
    return out
