"""Memory: how much control groups leave, what chunks take, and how many processes an audit starts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fiberscope as fs
import fiberscope.audits.work
import fiberscope.memory
from fiberscope.audits.effort import process_bytes
from fiberscope.audits.execution import KINDS
from fiberscope.audits.plan import Chunk, NamedDomain, Plan, places_of
from fiberscope.audits.subject import Subject
from fiberscope.audits.verdicts import Task, judge
from fiberscope.audits.work import local_capacity
from fiberscope.cli import main
from fiberscope.memory import available_memory, room_in_groups
from small_audits import small_data, small_network

MIB = 2**20


def group(folder: Path, limit: str, used: int, cache: str, names: tuple[str, str]) -> None:
    """Write what a control group says about its memory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used}\n{cache} {MIB}\n")


V1, V2 = ("memory.limit_in_bytes", "memory.usage_in_bytes"), ("memory.max", "memory.current")


def test_the_tightest_of_the_groups_that_one_lies_in_counts(tmp_path: Path) -> None:
    group(tmp_path / "batch/job/step", "max", 5 * MIB, "inactive_file", V2)
    group(tmp_path / "batch/job", str(40 * MIB), 30 * MIB, "inactive_file", V2)
    group(tmp_path / "batch", str(900 * MIB), 100 * MIB, "inactive_file", V2)
    (tmp_path / "self").write_text("0::/batch/job/step\n")
    assert min(room_in_groups(tmp_path, tmp_path / "self")) == 11 * MIB, "40 - 30, and a cache of 1 that is given back"


def test_groups_of_the_first_version(tmp_path: Path) -> None:
    group(tmp_path / "memory/docker/c1", str(64 * MIB), 60 * MIB, "total_inactive_file", V1)
    (tmp_path / "self").write_text("5:cpu,cpuacct:/docker/c1\n4:memory:/docker/c1\n0::/\n")
    assert min(room_in_groups(tmp_path, tmp_path / "self")) == 5 * MIB


def test_within_a_container_its_own_group_is_the_outermost_that_is_seen(tmp_path: Path) -> None:
    group(tmp_path, str(64 * MIB), 60 * MIB, "inactive_file", V2)
    (tmp_path / "self").write_text("0::/a/path/on/the/host\n")
    assert min(room_in_groups(tmp_path, tmp_path / "self")) == 5 * MIB


def test_a_group_that_uses_more_than_it_may_has_no_room(tmp_path: Path) -> None:
    group(tmp_path, str(64 * MIB), 70 * MIB, "inactive_file", V2)
    (tmp_path / "self").write_text("0::/\n")
    assert min(room_in_groups(tmp_path, tmp_path / "self")) == 0


@pytest.mark.parametrize("text", [None, "", "0::/nowhere\n"])
def test_without_groups_nothing_is_limited(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "self").write_text(text)
    assert room_in_groups(tmp_path, tmp_path / "self") == [2**63]


def test_some_memory_is_there() -> None:
    assert 10 * MIB < available_memory() < 2**50


@pytest.mark.parametrize(("processes", "fits"), [(1.0, 1), (1.5, 1), (2.5, 2), (99.0, 4)])
def test_no_more_processes_than_fit(processes: float, fits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, plan = small_network(), Plan((0, 1, 2), 100, blocks=(10, 10, 10))
    each = KINDS[0].effort(network, plan).memory + process_bytes(network)
    monkeypatch.setattr(fiberscope.audits.work, "available_memory", lambda: int(processes * each))
    capacity = local_capacity(KINDS[0], network, plan, 4)
    assert capacity.processes == fits
    assert (f"{fits} instead of 4 processes for verdicts" in capacity.note) == (fits < 4)


@pytest.mark.parametrize(
    ("available", "said"),
    [
        (1_000, ("a chunk of verdicts takes about", "Fewer samples per --block take less")),
        (500_000_000, ("1 instead of 2 processes for verdicts: each takes about 0.35 GB of memory, and 0.50 GB are",)),
        (5_000_000_000, ()),
    ],
)
def test_what_does_not_fit_is_said_before_the_work(
    available: int, said: tuple[str, ...], again: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(fiberscope.audits.work, "available_memory", lambda: available)
    workers = "1" if available > 1e9 else "2"  # that two are started is tested elsewhere
    assert main([*again, "--layers", "2", "--workers", workers, "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().err.splitlines()
    notes = [line for line in lines if line.startswith("note: ") and "memory" in line]
    assert len(notes) == bool(said)
    assert all(words in note for note in notes for words in said)


def test_more_samples_and_larger_layers_take_more() -> None:
    network = small_network()
    efforts = [work.effort(network, Plan((0,), 10, (0.0, 1.0), (10,), spectra=1, invariance=1)) for work in KINDS]
    assert all(effort.memory > 0 for effort in efforts)
    (verdicts, *_), small = KINDS, Plan((0,), 10, blocks=(10,))
    assert verdicts.effort(network, Plan((0,), 100, blocks=(100,))).memory > verdicts.effort(network, small).memory
    assert verdicts.effort(network, Plan((0,), 100, blocks=(10,))).memory == verdicts.effort(network, small).memory
    assert verdicts.effort(network, Plan((2,), 10, blocks=(10,))).memory < verdicts.effort(network, small).memory


PEAK = """
import pickle, sys
from pathlib import Path
from fiberscope.audits.compute import ModelFile, Threads, compute, read_model
from fiberscope.audits.work import local_capacity
work, task, digest = pickle.loads(Path(sys.argv[2]).read_bytes())
result = compute(work, Threads(1, 1), read_model(ModelFile(Path(sys.argv[1]), digest)), task)
assert type(result).__name__ != "Failed", result
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("model", "kind", "layer", "samples"),
    [
        ("mnist-net_256x2", 0, 0, 50),
        ("cifar_base_kw", 0, 0, 4),
        ("cifar_base_kw", 1, 0, 1),
        ("resnet_2b", 0, 1, 2),
        ("mnist-net_256x2", 2, 0, 5),
    ],
)
def test_estimates_are_above_measured_peaks_but_not_far(
    model: str, kind: int, layer: int, samples: int, external: Path, tmp_path: Path
) -> None:
    network = fs.load(external / "models" / f"{model}.onnx")
    network.save(tmp_path / "model.safetensors")
    x = np.random.default_rng(0).uniform(size=(samples, *network.input_shape))
    subject = Subject(network, x, None, "", "", "")
    plan = Plan((layer,), samples, (0.0, 1.0), (samples,), places_of(network), spectra=1, invariance=1)
    work = KINDS[kind]
    task = work.task(subject, plan, next(work.chunks(plan)))
    (tmp_path / "task").write_bytes(pickle.dumps((work, task, network.digest())))
    command = [sys.executable, "-c", PEAK, str(tmp_path / "model.safetensors"), str(tmp_path / "task")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, estimate = 1024 * int(done.stdout), process_bytes(network) + work.effort(network, plan).memory
    print(f"{model}, {work.name}: {peak / 1e6:.0f} MB measured, {estimate / 1e6:.0f} MB estimated")
    assert peak < estimate < 2.5 * peak


def test_a_layer_beyond_the_cap_is_undecided_and_others_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are not even written out: the layer of 9 inputs is refused, that of 4 outputs is not."""
    monkeypatch.setattr(fiberscope.memory, "memory_cap", lambda: 8 * 6 * 6)
    monkeypatch.setattr(fiberscope.memory, "ALWAYS_FITS", 0)
    network, domains = small_network(), (NamedDomain("x >= 0", fs.NonNegative()),)
    X = small_data(3)
    refused, judged = (
        judge(network.relu_layers[k], Task(Chunk(1, k, 0, 3), network.layer_input(k, X), domains)) for k in (1, 2)
    )
    assert len(refused.findings) == 3
    assert all(f.kind == fs.Kind.UNDECIDED and "memory" in f.reason for f in refused.findings)
    assert all(f.kind != fs.Kind.UNDECIDED for f in judged.findings)
