"""Which data the experiments ask for, and which of them are fetched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from fiberscope_paper import command, control_training, figure3, figure6, spectra_subjects
from fiberscope_paper.context import Context
from fiberscope_paper.registry import EXPERIMENTS, experiments
from fiberscope_paper.sources import papers_data


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("what", "data", "names"),
    [
        ("figure3", None, ["mnist"]),
        ("figure4", None, ["cifar10"]),
        ("all", None, ["mnist", "cifar10"]),
        ("figure3", "fashion-mnist", ["fashion-mnist"]),
        ("all", "cifar10", ["cifar10"]),
    ],
)
def test_only_what_is_used_is_fetched(
    what: str, data: str | None, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fetched: list[tuple[str, Path]] = []
    monkeypatch.setenv("FIBERSCOPE_DATA", str(tmp_path))
    monkeypatch.setattr(command, "fetch", lambda name, folder, progress: fetched.append((name, folder)))
    command._download(experiments(what), data, SimpleNamespace(show=None))
    assert fetched == [(name, tmp_path) for name in names]


class Asked(Exception):
    """Which data an experiment asks for."""


def test_the_data_of_every_experiment_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def used_data(context: Context, *, paper: str, stand_ins: tuple[str, ...]) -> None:
        raise Asked(paper)

    for module in (figure3, figure6, spectra_subjects, control_training):
        monkeypatch.setattr(module, "used_data", used_data)
    for experiment in EXPERIMENTS:
        if experiment.heeds:
            with pytest.raises(Asked) as asked:
                experiment.run(Context(tmp_path))
            assert papers_data([experiment.name]) == list(asked.value.args)
        else:
            assert papers_data([experiment.name]) == []
