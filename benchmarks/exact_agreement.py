"""Agreement with an exact oracle on small random integer layers, and how much of it is proved.

    python benchmarks/exact_agreement.py [--count 1000] [--seed 0] [--smoke]

Layers have at most 5 inputs and 12 outputs and entries in -3 ... 3; a fifth each without a domain, with a box, the
orthant, half-spaces, and an intersection; asked by point, by the point's output, and by any output. The oracle is
cddlib (exact list of vertices and rays). Exits with 1 unless kind and dimension agree always, nothing is undecided and
every verdict is proved in rational arithmetic.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("tests", "src")]

import fiberscope as fs  # noqa: E402
import oracles  # noqa: E402 - found through the path above
from fiberscope.preimages.verify import verify_in_float  # noqa: E402
from random_layers import RandomLayer, random_layers  # noqa: E402


def has_strict_proof(layer: RandomLayer, answer: oracles.Answer) -> bool:
    """Whether the verdict survives small changes of the numbers, so that a proof with error bounds can exist.

    It does not where it rests on exact coincidences: positive rows that are dependent, inequality rows that hold with
    equality on the whole preimage, or a recession cone that is flatter than the preimage.
    """
    system = oracles.mixed_system(layer.weight, layer.bias, x=layer.x, y=layer.y, domain=layer.domain)
    if answer.kind == "empty" or answer.dimension != system.n - len(system.equalities):
        return False
    if answer.kind == "unbounded" and oracles.rank([*answer.rays, *answer.lines]) < answer.dimension:
        return False
    if layer.x is not None and answer.dimension == 0:
        return True  # the rank of the positive rows says it all
    inner = oracles.relative_interior_point(answer)
    return all(oracles.dot(row, inner) < value for row, value in system.inequalities)


def main() -> int:
    """Run the comparison and print one line for each number; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="100 layers only")
    options = parser.parse_args()
    if options.smoke:
        options.count = min(options.count, 100)
    if not oracles.cdd_available():
        print("skipped: cddexec_gmp (Debian package libcdd-tools) is not installed")
        return 0
    counts, kinds, seconds = Counter[str](), Counter[str](), 0.0
    for layer in random_layers(options.count, options.seed):
        answer = oracles.cdd_answer(
            oracles.mixed_system(layer.weight, layer.bias, x=layer.x, y=layer.y, domain=layer.domain)
        )
        began = time.perf_counter()
        p = fs.preimage(fs.ReLULayer(layer.weight, layer.bias), **layer.question)
        seconds += time.perf_counter() - began
        kinds[answer.kind] += 1
        counts["undecided"] += p.kind == fs.Kind.UNDECIDED
        if (str(p.kind), p.dimension) == (answer.kind, answer.dimension):
            counts["agree"] += 1
        else:
            print(f"DISAGREES: {layer}: {p.kind} {p.dimension}, in truth {answer.kind} {answer.dimension}")
        in_float = bool(verify_in_float(p))
        counts["exact"] += bool(fs.verify(p, exact=True))
        counts["float"] += in_float
        if has_strict_proof(layer, answer):
            counts["strict"] += 1
            counts["strict in float"] += in_float
    return _report(options.count, counts, kinds, seconds)


def _report(count: int, counts: Counter[str], kinds: Counter[str], seconds: float) -> int:
    def share(name: str, of: int) -> str:
        return f"{counts[name]} of {of} ({100 * counts[name] / max(of, 1):.1f} %)"

    print("kinds by the oracle:         ", ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items())))
    print("kind and dimension agree:    ", share("agree", count))
    print("undecided:                   ", counts["undecided"])
    print("proved in exact arithmetic:  ", share("exact", count))
    print("proved in float64:           ", share("float", count))
    print("  where a strict proof exists:", share("strict in float", counts["strict"]))
    print(f"time per decision:            {1000 * seconds / max(count, 1):.2f} ms")
    return 0 if counts["agree"] == counts["exact"] == count and not counts["undecided"] else 1


if __name__ == "__main__":
    sys.exit(main())
