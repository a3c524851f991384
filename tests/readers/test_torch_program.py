"""Programs of torch.export are read from files whose origin is trusted, and from no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fiberscope as fs
from torch_modules import Function, in_float64, randomised

BATCH = {0: torch.export.Dim("batch")}


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
        self.pool, self.classes = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 3)

    def forward(self, x):
        x = self.pool(self.features(x)).view(x.size(0), -1)
        x += 1
        return self.classes(x)


def saved(path: Path, module: nn.Module, samples: int, shape: tuple[int, ...], dynamic: Any = None) -> Path:
    program = torch.export.export(
        module, (torch.zeros(samples, *shape),), dynamic_shapes=None if dynamic is None else (dynamic,)
    )
    torch.export.save(program, path)
    return path


def test_untrusted_files_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path / "model.pt2", nn.Linear(2, 2).eval(), 1, (2,))
    monkeypatch.setattr(torch.export, "load", lambda _: pytest.fail("the file was loaded"))
    with pytest.raises(fs.ModelError, match=r"any code.*--trust-model.*trust=True"):
        fs.load(path)


@pytest.mark.parametrize(("samples", "dynamic"), [(1, None), (3, BATCH)])
def test_trusted_programs(tmp_path: Path, samples: int, dynamic: Any):
    module = randomised(Small())
    network = fs.load(saved(tmp_path / "model.pt2", module, samples, (1, 4, 5), dynamic), trust=True)
    X = np.random.default_rng(0).standard_normal((5, 1, 4, 5))
    np.testing.assert_allclose(network(X), in_float64(module, X), rtol=1e-12, atol=1e-12)
    assert network.input_shape == (1, 4, 5)
    assert [stage.name for stage in network.stages] == ["features.0", "features.2", "pool", "classes"]
    assert network.notes[0] == "model.pt2: the model was loaded with trust; code in the file may have run"
    assert network.agreement is not None
    assert network.agreement.original == "the program"
    assert network.digest() == fs.from_torch(module, (1, 4, 5)).digest()


def test_a_program_of_a_fixed_batch_is_one_sample(tmp_path: Path):
    module = randomised(Small())
    network = fs.load(saved(tmp_path / "model.pt2", module, 2, (1, 3, 3)), trust=True)
    assert (network.input_shape, network.output_shape) == ((2, 1, 3, 3), (2, 3))
    assert any("the whole tensor is one sample" in note for note in network.notes)
    X = np.random.default_rng(0).standard_normal((2, 1, 3, 3))
    np.testing.assert_allclose(network(X[None])[0], in_float64(module, X), rtol=1e-12, atol=1e-12)


def test_a_program_of_inputs_of_any_size_takes_that_of_its_example(tmp_path: Path):
    auto = torch.export.Dim.AUTO
    path = saved(tmp_path / "model.pt2", randomised(Small()), 2, (1, 4, 5), {0: auto, 2: auto, 3: auto})
    network = fs.load(path, trust=True)
    assert network.input_shape == (1, 4, 5)
    assert any("several sizes" in note for note in network.notes)


def test_programs_that_mix_samples_are_refused(tmp_path: Path):
    module = randomised(Function(lambda m, x: m.linear(x) - x.mean(0), linear=nn.Linear(3, 3)))
    with pytest.raises(fs.ModelError, match="the program mixes samples"):
        fs.load(saved(tmp_path / "model.pt2", module, 2, (3,), BATCH), trust=True)


def test_unsupported_operators_are_named(tmp_path: Path):
    module = nn.Sequential(nn.Linear(3, 2), nn.GELU(), nn.Linear(2, 2), nn.SiLU()).eval()
    with pytest.raises(fs.ModelError) as caught:
        fs.load(saved(tmp_path / "model.pt2", module, 2, (3,), BATCH), trust=True)
    assert caught.value.unsupported == ("1 (gelu)", "3 (silu)")


class Two(nn.Module):
    def forward(self, x, z=None, factor=2.0):
        return x * factor if z is None else x + z


def test_programs_of_several_tensors_are_refused(tmp_path: Path):
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Two(), (torch.zeros(1, 2), torch.zeros(1, 2))), path)
    with pytest.raises(fs.ModelError, match="takes 2 tensors"):
        fs.load(path, trust=True)
    torch.export.save(torch.export.export(Two(), (torch.zeros(1, 2), None, 3.0)), path)
    np.testing.assert_array_equal(fs.load(path, trust=True)([[1, 2]]), [[3, 6]])


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_files(tmp_path: Path, share: float):
    path = saved(tmp_path / "model.pt2", nn.Linear(2, 2).eval(), 1, (2,))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(fs.ModelError, match=r"expected a program that torch\.export\.save wrote"):
        fs.load(path, trust=True)


# ---- programs that were never in a file, and what is no program


@pytest.mark.exhaustive(every=3)
@pytest.mark.parametrize("of", [lambda p: p, lambda p: p.module()], ids=["program", "its module"])
@pytest.mark.parametrize(("samples", "dynamic"), [(1, None), (3, BATCH)])
def test_programs_are_taken_as_they_are(of: Any, samples: int, dynamic: Any):
    module = randomised(Small())
    example = torch.zeros(samples, 1, 4, 5)
    program = torch.export.export(module, (example,), dynamic_shapes=None if dynamic is None else (dynamic,))
    network = fs.from_torch(of(program))
    X = np.random.default_rng(0).standard_normal((5, 1, 4, 5))
    np.testing.assert_allclose(network(X), in_float64(module, X), rtol=1e-12, atol=1e-12)
    assert network.digest() == fs.from_torch(module, (1, 4, 5)).digest()
    assert fs.from_torch(of(program), (1, 4, 5)).digest() == network.digest()
    with pytest.raises(fs.InputError, match=r"input_shape: expected \(1, 4, 5\), for which .* got \(1, 4, 6\)"):
        fs.from_torch(of(program), (1, 4, 6))


@pytest.mark.parametrize("of", [lambda p: p, lambda p: p.module()], ids=["program", "its module"])
def test_axes_that_are_open_take_the_size_that_is_asked_for(of: Any):
    module, auto = randomised(Small()), torch.export.Dim.AUTO
    program = torch.export.export(module, (torch.zeros(2, 1, 4, 5),), dynamic_shapes=({0: auto, 2: auto, 3: auto},))
    network = fs.from_torch(of(program), (1, 7, 3))
    X = np.random.default_rng(0).standard_normal((4, 1, 7, 3))
    np.testing.assert_allclose(network(X), in_float64(module, X), rtol=1e-12, atol=1e-12)
    with pytest.raises(fs.InputError, match=r"expected \(1, any, any\), .* got \(2, 7, 3\)"):
        fs.from_torch(of(program), (2, 7, 3))


@pytest.mark.parametrize("of", [lambda p: p, lambda p: p.module()], ids=["program", "its module"])
def test_a_program_of_a_fixed_batch_says_how_to_ask_about_single_samples(of: Any):
    program = torch.export.export(nn.Linear(4, 2).eval(), (torch.zeros(2, 4),))
    assert fs.from_torch(of(program)).input_shape == (2, 4)
    with pytest.raises(fs.InputError, match=r"expected \(2, 4\).*export it for one sample or for any number"):
        fs.from_torch(of(program), 4)


@pytest.mark.parametrize(
    ("part", "named"), [(nn.Dropout(), "dropout"), (nn.BatchNorm1d(3), "batch_norm"), (nn.AlphaDropout(), "dropout")]
)
def test_programs_in_training_mode_are_refused_as_such(tmp_path: Path, part: nn.Module, named: str):
    module = nn.Sequential(nn.Linear(3, 3), part, nn.ReLU()).train()
    path = saved(tmp_path / "model.pt2", module, 2, (3,), BATCH)
    program = torch.export.load(path)
    for read in (
        lambda: fs.load(path, trust=True),
        lambda: fs.from_torch(program),
        lambda: fs.from_torch(program.module()),
    ):
        with pytest.raises(fs.ModelError, match=rf"exported in training mode.*{named}.*call module.eval\(\)"):
            read()


def test_a_program_in_evaluation_mode_is_none_in_training_mode():
    """Instance norm computes statistics of its own in either mode."""
    norm = randomised(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)))
    with pytest.raises(fs.ModelError, match="not supported") as caught:
        fs.from_torch(torch.export.export(norm, (torch.zeros(2, 3),)))
    assert "training mode" not in str(caught.value)


def test_programs_of_whole_numbers_are_refused_as_such():
    module = nn.Sequential(nn.Embedding(7, 2), nn.Flatten(), nn.Linear(6, 2)).eval()
    program = torch.export.export(module, (torch.zeros(1, 3, dtype=torch.int64),))
    with pytest.raises(fs.ModelError, match=r"whole numbers \(torch.int64\).*behind the embedding"):
        fs.from_torch(program)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2", ".ts", ".torchscript", ".bin", ""])
def test_archives_of_torch_script_are_named_for_what_they_are(tmp_path: Path, suffix: str):
    path = tmp_path / f"model{suffix}"
    torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()).save(str(path))
    with pytest.raises(fs.ModelError, match=r"got a TorchScript archive \(torch.jit\).*from_torch"):
        fs.load(path, trust=True)


def test_a_pickle_under_the_name_of_a_program_is_named_for_what_it_is(tmp_path: Path):
    path = tmp_path / "model.pt2"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(fs.ModelError, match=r"what torch\.save wrote, a pickle"):
        fs.load(path, trust=True)
