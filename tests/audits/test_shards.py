"""Reading files of results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.exhaustive
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in Linux's /proc")
def test_reading_findings_leaves_no_thread_behind(out: Path) -> None:
    """A thread of pyarrow's that is still starting when the process ends aborts it, with exit status 134."""
    code = (
        "import os, sys; from pathlib import Path; from fiberscope.audits import shards;"
        "before = len(os.listdir('/proc/self/task'));"
        "tables = [shards.findings_from_bytes(path.read_bytes(), '') for path in Path(sys.argv[1]).iterdir()];"
        "print(len(tables), len(os.listdir('/proc/self/task')) - before)"
    )
    command = [sys.executable, "-c", code, str(out / "preimages")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(list((out / "preimages").iterdir()))), "0"]
