"""What an archive that torch wrote is, from the names in it alone: nothing in it is run."""

from __future__ import annotations

import zipfile
from pathlib import Path

TORCH_SCRIPT = (
    "a TorchScript archive (torch.jit), which is not read; build the Python module that it was made from, give it the "
    "weights (module.load_state_dict(torch.jit.load(path).state_dict())), and pass it to fiberscope.from_torch"
)

COMPILED = (
    "a compiled package (AOTInductor), which has no graph to read; write the program with torch.export.save before "
    "it is compiled"
)

PICKLE = (
    "what torch.save wrote, a pickle; load it in torch if you trust it, and pass the module to fiberscope.from_torch"
)


def archive_of(path: Path) -> str:
    """What a file is if it is no program of ``torch.export``, and what to do; empty if it is nothing known."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return ""
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return TORCH_SCRIPT
    if any("aotinductor" in name for name in names):
        return COMPILED
    return PICKLE if "data.pkl" in names else ""


__all__ = ["COMPILED", "PICKLE", "TORCH_SCRIPT", "archive_of"]
