"""How much memory there is, and how many processes fit into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

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
    unlimited = 2**63
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # not on Linux
        return [unlimited]
    rooms: list[int] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            rooms += _rooms(groups, path, _VERSION_2)
        elif "memory" in controllers.split(","):
            rooms += _rooms(groups / "memory", path, _VERSION_1)
    return [*rooms, unlimited]


def _rooms(mounted: Path, path: str, files: _Files) -> Iterator[int]:
    """The room in a group and in all groups that it lies in. Within a container the mounted one may be its own."""
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
            yield max(0, int(limit) - used + cache)


def gigabytes(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


__all__ = ["available_memory", "gigabytes", "room_in_groups"]
