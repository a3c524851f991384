"""Does an installed fiberscope work? Run by an interpreter that has it from a wheel.

Everything public is there, an audit of a small network is written, proved and shown, and the command says its version.
Without the reproduction the command says what to install; with ``--reproduction`` it is there, and draws a figure.
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
        if "--reproduction" in sys.argv:
            reproduction(Path(folder))
            print(f"fiberscope-paper {fs.__version__}: a figure and a table of the paper")
            return
        audit(Path(folder))
        no_reproduction(Path(folder))
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


def no_reproduction(folder: Path) -> None:
    """Without that package, one line says what to install."""
    refused = run("reproduce", "figure1", "--out", folder / "figures")
    if (
        refused.returncode != 2
        or "pip install fiberscope-paper" not in refused.stderr
        or refused.stderr.count("\n") != 1
    ):
        raise SystemExit(f"fiberscope reproduce does not say what to install: {refused.stderr[-500:]}")


def reproduction(folder: Path) -> None:
    """The package is that of a wheel, of the same version, and draws and prints."""
    import fiberscope_paper

    place = Path(fiberscope_paper.__file__).resolve()
    if (
        not place.is_relative_to(Path(sys.prefix).resolve())
        or metadata("fiberscope-paper")["Version"] != fs.__version__
    ):
        raise SystemExit(f"not the installed package of this version: {place}")
    for what, name in (("figure1", "figure1.png"), ("table1", "table1.md")):
        command("reproduce", what, "--out", folder)
        if not (folder / name).is_file():
            raise SystemExit(f"fiberscope reproduce {what} did not write {name}")


def command(*arguments: object) -> str:
    """What the installed command prints; its failure is ours."""
    done = run(*arguments)
    if done.returncode:
        raise SystemExit(f"fiberscope {arguments[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The installed command."""
    script = Path(sys.executable).with_name("fiberscope")
    return subprocess.run([script, *map(str, arguments)], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
