"""The command ``fiberscope``, also reachable as ``python -m fiberscope``."""

from __future__ import annotations

import sys

from fiberscope import cli
from fiberscope.ctrl_c import raise_ctrl_c


def run() -> None:
    """Run the command line on the process's own arguments and exit with its status."""
    raise_ctrl_c()
    sys.exit(cli.main(None))


if __name__ == "__main__":
    run()
