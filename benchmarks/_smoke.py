"""Every benchmark once, on its smallest size, or some: ``python benchmarks/_smoke.py [NAME ...]``.

Each runs in a process of its own, forked from this one, which has imported what most of them need, and what
``torch.export`` imports when it first reads a model. Exit status 1 where one failed; the others run all the same.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import time
import traceback
from pathlib import Path

FOLDER = Path(__file__).parent
IMPORTED = ("scipy.stats", "pyarrow.parquet", "fiberscope.cli", "fiberscope.preimages.classify")


def main() -> int:
    """Print what they print, and what each took."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads do not outlast a fork
    for name in IMPORTED:
        importlib.import_module(name)
    _read_a_model()

    failed: list[str] = []
    for file in [FOLDER / f"{name}.py" for name in sys.argv[1:]] or sorted(FOLDER.glob("[!_]*.py")):
        print(f"{file.relative_to(FOLDER.parent)}", flush=True)
        began = time.perf_counter()
        child = os.fork()
        if not child:
            _run(file)
        _, status = os.waitpid(child, 0)
        if status:
            failed.append(file.name)
        print(f"{time.perf_counter() - began:.1f} s" if not status else "FAILED", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all of them ran")
    return int(bool(failed))


def _read_a_model() -> None:
    import torch

    import fiberscope as fs

    fs.from_torch(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()).eval())


def _run(file: Path) -> None:
    """Run a benchmark and end."""
    sys.argv = [str(file), "--smoke"]
    status = 1
    try:
        runpy.run_path(str(file), run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # a child must never return to the loop of its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
