"""Ctrl-C ends a command where it can say how to go on, and never what the command started."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fiberscope.ctrl_c import ctrl_c_held_back

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system cannot block signals")


@pytest.fixture(autouse=True)
def _heeded() -> Iterator[None]:
    """A job in the background of a shell ignores Ctrl-C, and so does what it starts; not so here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


CAUGHT_IN_A_STRING = """
import signal, sys
from fiberscope.ctrl_c import raise_ctrl_c
signal.signal(signal.SIGINT, signal.default_int_handler)
raise_ctrl_c()
try:
    exec("signal.raise_signal(signal.SIGINT)")
except KeyboardInterrupt:
    sys.exit(2)
"""

FIRST_PROCESS = """
import multiprocessing, signal
from fiberscope.ctrl_c import ctrl_c_held_back

def mask(answers):
    answers.put(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with ctrl_c_held_back():
        answers = spawn.SimpleQueue()
        process = spawn.Process(target=mask, args=(answers,))
        process.start()
    print(answers.get(), signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    process.join()
"""


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    command = [sys.executable, "-m", "script"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_exit_status_is_that_of_whoever_caught_it(tmp_path: Path) -> None:
    result = run_script(tmp_path, CAUGHT_IN_A_STRING)
    assert (result.returncode, result.stderr) == (2, "")


def test_an_ignored_ctrl_c_stays_ignored(tmp_path: Path) -> None:
    script = CAUGHT_IN_A_STRING.replace("signal.default_int_handler", "signal.SIG_IGN")
    result = run_script(tmp_path, script)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_first_process_that_is_started_does_not_heed_it(tmp_path: Path) -> None:
    result = run_script(tmp_path, FIRST_PROCESS)
    assert (result.stdout.split(), result.stderr) == (["True", "False"], "")


def test_it_is_raised_at_the_end() -> None:
    steps: list[str] = []

    def interrupted() -> None:
        with ctrl_c_held_back():
            signal.raise_signal(signal.SIGINT)
            steps.append("inside")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["inside"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_it_waits_though_another_thread_receives_it() -> None:
    steps: list[str] = []
    held, received = threading.Event(), threading.Event()

    def receive() -> None:
        held.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        received.set()

    def interrupted() -> None:
        with ctrl_c_held_back():
            held.set()
            assert received.wait(10)
            time.sleep(0)  # handlers run between two steps of the main thread
            steps.append("inside")

    receiver = threading.Thread(target=receive)
    receiver.start()  # before anything is blocked, as the threads of a numerical library
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    receiver.join()
    assert steps == ["inside"]


def test_where_handlers_cannot_be_set_it_is_blocked_all_the_same() -> None:
    masks: list[bool] = []

    def hold() -> None:
        with ctrl_c_held_back():
            masks.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert masks == [True]
