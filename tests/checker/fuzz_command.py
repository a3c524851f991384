"""The command of a script that tries random claims: how many, and from which seed."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable


def run(fuzz: Callable[[int, int], Counter[str]], what: str, count: int) -> None:
    """Print the tally.

    Args:
        fuzz: of a seed and a number of claims.
        what: is tried.
        count: of claims, unless the command line says another.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("count", nargs="?", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(dict(fuzz(options.seed, options.count)))
