"""Does an installed fiberscope work? Run by an interpreter that has it from a wheel.

Everything public is there, an audit of a small network is written, proved and shown, and the command says its version.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import metadata
from pathlib import Path

import numpy as np

import fiberscope as fs


def main() -> None:
    """Raise, or end with a line that says what was checked."""
    place = Path(fs.__file__).resolve()
    if not place.is_relative_to(Path(sys.prefix).resolve()):
        raise SystemExit(f"not the installed package: {place}")
    for name in fs.__all__:
        getattr(fs, name)
    about = metadata("fiberscope")
    if about["Version"] != fs.__version__ or not about.get_all("Project-URL"):
        raise SystemExit("the metadata are not those of the package")
    with tempfile.TemporaryDirectory() as folder:
        audit(Path(folder))
    print(f"fiberscope {fs.__version__}: {len(fs.__all__)} public names, an audit, its proofs and its report")


def audit(folder: Path) -> None:
    """An audit on the command line, its proofs, and the page that needs the package's templates."""
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)).eval()
    fs.from_torch(module).save(folder / "model.safetensors")
    np.save(folder / "data.npy", np.random.default_rng(0).random((5, 4)))
    command("audit", folder / "model.safetensors", folder / "data.npy", "--out", folder / "out", "--domain", "0,1")
    command("verify", folder / "out")
    if "</html>" not in (folder / "out" / "report.html").read_text(encoding="utf-8"):
        raise SystemExit("the report is not a page")
    if fs.__version__ not in command("--version"):
        raise SystemExit("--version says another version")


def command(*arguments: object) -> str:
    """What the installed command prints; its failure is ours."""
    script = Path(sys.executable).with_name("fiberscope")
    run = subprocess.run([script, *map(str, arguments)], capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"fiberscope {arguments[0]} ended with {run.returncode}: {run.stderr[-500:]}")
    return run.stdout


if __name__ == "__main__":
    main()
