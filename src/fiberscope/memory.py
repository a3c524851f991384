"""How much memory there is, and how many processes fit into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from fiberscope.errors import InputError, MemoryLimitError

MATRIX_SHARE = 0.25
"""Factorizations keep a few copies of a matrix."""
ALWAYS_FITS = 2**23
"""Numbers in a matrix of 64 MB, for which nobody has to look how much memory there is."""
MATRIX_BYTES = 4 * 2**30
"""The largest matrix that is written out unless the caller allows more: 4 GiB."""
_UNLIMITED = 2**63
_GROUPS, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class _Files:
    """Where a control group says what it may use, what it uses, and what of that is given back when it is needed."""

    limit: str
    used: str
    cache: str


_VERSION_1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = _Files("memory.max", "memory.current", "inactive_file")


def available_memory() -> int:
    """Bytes that this process and those that it starts may still use: of the machine, and of their control groups.

    Containers and batch systems limit memory by control groups. What takes more is killed, whatever the machine has.
    """
    return min(psutil.virtual_memory().available, *room_in_groups(_GROUPS, _MEMBERSHIP))


def room_in_groups(groups: Path, membership: Path) -> list[int]:
    """Bytes left in each control group that limits memory; the list ends with one that never does.

    Args:
        groups: where the control groups are mounted.
        membership: the file that says to which groups this process belongs.
    """
    return [max(0, limit - used) for limit, used in _limits(groups, membership)] + [_UNLIMITED]


def limits_of_groups(groups: Path, membership: Path) -> list[int]:
    """Bytes that each of them allows; the list ends with one that never limits anything."""
    return [limit for limit, _ in _limits(groups, membership)] + [_UNLIMITED]


def _limits(groups: Path, membership: Path) -> list[tuple[int, int]]:
    """What each control group allows, and what of that is used and not given back when it is needed."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # not on Linux
        return []
    found: list[tuple[int, int]] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _group(groups, path, _VERSION_2)
        elif "memory" in controllers.split(","):
            found += _group(groups / "memory", path, _VERSION_1)
    return found


def _group(mounted: Path, path: str, files: _Files) -> Iterator[tuple[int, int]]:
    """A group and all groups that it lies in. Within a container the mounted one may be its own."""
    relative = Path(path.lstrip("/"))
    for group in (relative, *relative.parents):
        try:
            limit = (mounted / group / files.limit).read_text(encoding="utf-8").strip()
            used = int((mounted / group / files.used).read_text(encoding="utf-8"))
            statistics = (mounted / group / "memory.stat").read_text(encoding="utf-8")
        except (OSError, ValueError):  # no such group is seen from here, or it counts no memory
            continue
        if limit != "max":
            cache = next((int(n) for name, n in map(str.split, statistics.splitlines()) if name == files.cache), 0)
            yield int(limit), used - cache


def memory_cap() -> int:
    """Bytes that one matrix may take: a share of what the machine has, or a control group allows.

    Not of what is free at the moment: whether a question is answered should not depend on what else is running.
    """
    return int(MATRIX_SHARE * min(psutil.virtual_memory().total, *limits_of_groups(_GROUPS, _MEMBERSHIP)))


def check_matrix(what: str, rows: int, columns: int) -> None:
    """Refuse a matrix before it is made.

    Raises:
        MemoryLimitError: it takes more than ``memory_cap``.
    """
    needed, cap = 8 * rows * columns, memory_cap() if rows * columns > ALWAYS_FITS else 0
    if cap and needed > cap:
        message = (
            f"a matrix of {rows} x {columns} numbers takes {gigabytes(needed)}; expected at most {gigabytes(cap)}, "
            f"{MATRIX_SHARE:.0%} of this machine's memory. Ask about a smaller layer"
        )
        raise MemoryLimitError(what, needed=needed, cap=cap, message=message)


def check_size(what: str, shape: tuple[int, int], max_bytes: int) -> None:
    """InputError if a matrix of this shape takes more than so many bytes."""
    m, n = shape
    if 8 * m * n > max_bytes:
        raise InputError(
            what,
            expected=f"at most {max_bytes / 2**30:.3g} GiB",
            got=f"{m} x {n} numbers, {8 * m * n / 2**30:.3g} GiB",
            hint="allow more with max_bytes, restrict the input with window(), or use products J @ v alone",
        )


def gigabytes(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


__all__ = [
    "MATRIX_BYTES",
    "available_memory",
    "check_matrix",
    "check_size",
    "gigabytes",
    "memory_cap",
    "room_in_groups",
]
