"""How many examples hypothesis draws: all of them, or a third, as ``make test`` asks for."""

from __future__ import annotations

from hypothesis import settings

ALL, EXAMPLES = "fiberscope", 100
"""The profile of all examples, and how many these are unless a test says otherwise."""


def register_profiles() -> None:
    """Both draw the same in every run; ``--hypothesis-profile=quick`` chooses the other one."""
    for name, count in ((ALL, EXAMPLES), ("quick", -(-EXAMPLES // 3))):
        settings.register_profile(
            name, max_examples=count, derandomize=True, deadline=None, database=None, print_blob=False
        )


def examples(count: int) -> settings:
    """So many for a test, or the share of them that the profile draws."""
    return settings(max_examples=-(-count * settings.default.max_examples // EXAMPLES))
