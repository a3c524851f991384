"""Which network an experiment uses: one that is trained here and kept, or one from a file."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fiberscope.data.datasets import DataSet
from fiberscope.demo.training import Recipe, train_classifier
from fiberscope.errors import InputError, ModelError, ResultsError
from fiberscope.files import read_file, write_file
from fiberscope.network.network import Network
from fiberscope.readers.files import load
from fiberscope.readers.safetensors import load_safetensors
from fiberscope.readers.torch import from_torch
from fiberscope.seals import BLANK, is_sealed, seal
from fiberscope_paper.checkpoints import Checkpoint
from fiberscope_paper.context import Context
from fiberscope_paper.sources import UsedData, data_digest

QUICK_ACCURACY = 1_000
"""Test samples whose classes are asked at quick scale: a convolutional network takes some milliseconds for each."""

_SEAL = "seal"
"""The last entry of the facts on disk: the SHA-256 of the others."""


@dataclass(frozen=True, eq=False)
class UsedNetwork:
    """A network, and what to say about it.

    Attributes:
        network: the network.
        description: plainly which network, how it was trained, with which seed and accuracy.
        facts: name, digest, recipe, epochs, seed and accuracy, as JSON data; None where they are not known.
    """

    network: Network
    description: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Training:
    """A network to be trained.

    Attributes:
        name: of the architecture, such as ``table2``.
        title: of the architecture, for captions.
        architecture: makes the untrained module.
        recipe: how it is trained, unless the user names the number of epochs.
        paper: the recipe of the paper, on all of its training samples.
        input_shape: of one sample, as the module takes it; None for flat samples.
    """

    name: str
    title: str
    architecture: Callable[[], nn.Sequential]
    recipe: Recipe
    paper: Recipe
    input_shape: tuple[int, ...] | None = None


def trained_network(context: Context, training: Training, data: UsedData) -> UsedNetwork:
    """The network from the folder of trained ones, or trained now and put there.

    Training that was interrupted continues where it was, to the same weights.

    Raises:
        InputError: the data do not fit the architecture.
        ResultsError: the folder holds something else under that name, is damaged, or cannot be written.
    """
    samples = data.training
    assert samples is not None, "only what comes from a file has no training samples"
    _check_size(training, samples)
    if context.epochs is not None:
        training = replace(training, recipe=replace(training.recipe, epochs=context.epochs))
    wanted = {
        "architecture": training.name,
        "recipe": {**asdict(training.recipe), "optimizer": str(training.recipe.optimizer)},
        "seed": context.seed,
        "data": samples.name,
        "data_sha256": data_digest(samples),
        "training_samples": len(samples),
    }
    identity = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    stem = context.networks / f"{training.name}-{_plain(data.spec)}-{identity[:10]}"
    network, facts = _kept(stem, wanted) or _trained(context, training, samples, data.test, wanted, identity, stem)
    return UsedNetwork(network, _description(training, data, samples, facts), facts)


def _check_size(training: Training, samples: DataSet) -> None:
    if samples.y is None:
        raise InputError(f"the data set {samples.name}", expected="classes to train on", got="samples without classes")
    first = next(part for part in training.architecture() if isinstance(part, nn.Linear | nn.Conv2d))
    have = int(np.prod(samples.x.shape[1:]))
    need = first.in_features if isinstance(first, nn.Linear) else int(np.prod(training.input_shape or ()))
    if have != need:
        expected = f"samples of {need} numbers for {training.title}"
        raise InputError("--data", expected=expected, got=f"{have} numbers each", hint="pass a --model that fits them")
    if not 0 <= samples.y.min() <= samples.y.max() < 10:
        got = f"classes from {samples.y.min()} to {samples.y.max()}"
        raise InputError("--data", expected="classes from 0 to 9", got=got)


def _trained(
    context: Context,
    training: Training,
    samples: DataSet,
    test: DataSet,
    wanted: Mapping[str, Any],
    identity: str,
    stem: Path,
) -> tuple[Network, dict[str, Any]]:
    checkpoint = Checkpoint(stem.with_name(stem.name + ".checkpoint"), identity)
    began = time.perf_counter()
    module = train_classifier(
        training.architecture,
        samples.x,
        samples.y,
        recipe=training.recipe,
        seed=context.seed,
        on_epoch=lambda epoch, epochs, _: context.progress(f"training {training.name}, epochs", epoch, epochs),
        checkpoint=checkpoint,
    )
    seconds = time.perf_counter() - began
    judged = min(len(test), context.at_scale(quick=QUICK_ACCURACY, paper=len(test)))
    network = from_torch(module, input_shape=training.input_shape)
    facts = {
        **wanted,
        "name": stem.name,
        "digest": network.digest(),
        "epochs": training.recipe.epochs,
        "accuracy": accuracy(network, test.first(judged)),
        "accuracy_samples": judged,
        "training_seconds": round(seconds, 1),
    }
    network.save(_file(stem, "safetensors"))
    sealed = seal((json.dumps({**facts, _SEAL: BLANK}, indent=2) + "\n").encode())
    write_file(_file(stem, "json"), sealed)  # last: it says that all is there
    with suppress(OSError):  # not needed any more, and harmless if it stays
        checkpoint.path.unlink()
    return network, facts


def _kept(stem: Path, wanted: Mapping[str, Any]) -> tuple[Network, dict[str, Any]] | None:
    """The network of the folder, if it is there.

    Raises:
        ResultsError: it is another one, damaged, or changed; captions would repeat an accuracy that was never measured.
    """
    path, weights = _file(stem, "json"), _file(stem, "safetensors")
    if not path.is_file():
        return None
    data = read_file(path)
    if not is_sealed(data):
        raise _not_kept(path, "the facts of a network as they were written", "a damaged or changed file", stem)
    facts: dict[str, Any] = json.loads(data)
    del facts[_SEAL]
    if other := [key for key in wanted if facts.get(key) != wanted[key]]:
        got = ", ".join(f"{key} {facts.get(key)!r} instead of {wanted[key]!r}" for key in other)
        raise ResultsError(f"{path} is of another training: {got}; remove it or use other --networks", path=str(path))
    try:
        network = load_safetensors(weights)
    except ModelError as error:
        got = "a damaged file" if weights.exists() else "nothing of that name"
        raise _not_kept(weights, f"the network that {path.name} describes", got, stem) from error
    if network.digest() != facts["digest"]:
        raise _not_kept(weights, f"the network that {path.name} describes", "another one", stem)
    return network, facts


def _not_kept(path: Path, expected: str, got: str, stem: Path) -> ResultsError:
    both = " and ".join(_file(stem, suffix).name for suffix in ("json", "safetensors"))
    return ResultsError(f"{path}: expected {expected}, got {got}; remove {both} to train again", path=str(path))


def given_network(context: Context, data: UsedData, architecture: Callable[[], nn.Sequential]) -> UsedNetwork:
    """The network of the file that the user names.

    A ``.safetensors`` file of weights alone is read into the architecture of the experiment.

    Raises:
        ModelError: the file cannot be read as a network.
        InputError: the samples do not fit it.
    """
    from fiberscope_paper.weights import is_weights_alone, load_weights

    assert context.model is not None, "asked for only where there is a file"
    if is_weights_alone(context.model):
        network = load_weights(context.model, architecture)
    else:
        network = load(context.model, trust=context.trust_model, output=context.output)
    have = int(np.prod(data.test.x.shape[1:]))
    if have != network.inputs:
        raise InputError(
            "--data", expected=f"samples of {network.inputs} numbers for {context.model.name}", got=f"{have}"
        )
    share = accuracy(network, data.test)
    facts = {
        "name": context.model.name,
        "digest": network.digest(),
        "recipe": None,
        "epochs": None,
        "seed": None,
        "accuracy": share,
    }
    told = (
        "its classes are not known"
        if share is None
        else f"it classifies {share:.1%} of {_judged(len(data.test), data)} correctly"
    )
    description = f"The network of the file {context.model.name}, whose training is not known; {told}."
    return UsedNetwork(network, description, facts)


def used_network(context: Context, training: Training, data: UsedData) -> UsedNetwork:
    """The network of the file that the user names, or else a trained one."""
    if context.model is not None:
        return given_network(context, data, training.architecture)
    return trained_network(context, training, data)


def accuracy(network: Network, data: DataSet) -> float | None:
    """The share of samples that the network classifies correctly; None where classes and outputs do not fit."""
    if data.y is None or len(network.output_shape) != 1 or not 0 <= data.y.min() <= data.y.max() < network.outputs:
        return None
    samples = data.x.reshape(len(data), *network.input_shape)
    return float((network(samples).argmax(axis=1) == data.y).mean())


def _description(training: Training, data: UsedData, samples: DataSet, facts: Mapping[str, Any]) -> str:
    recipe = training.recipe
    epochs = "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
    told = (
        f"{training.title}, trained with {'Adam' if recipe.optimizer == 'adam' else 'RMSprop'} for {epochs} "
        f"in batches of {recipe.batch_size} on {len(samples):,} samples of {data.title}, seed {facts['seed']}; "
        f"it classifies {facts['accuracy']:.1%} of {_judged(facts['accuracy_samples'], data)} correctly."
    )
    paper = training.paper
    if (recipe.epochs, recipe.batch_size) == (paper.epochs, paper.batch_size):
        return told
    return f"{told} The paper trained for {paper.epochs} epochs in batches of {paper.batch_size:,} on all of its data."


def _judged(count: int, data: UsedData) -> str:
    return f"the {count:,} test samples" if count == len(data.test) else f"the first {count:,} test samples"


def _file(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")


def _plain(spec: str) -> str:
    """A part of a file name for data by name or path."""
    return "".join(c if c.isalnum() or c == "-" else "-" for c in Path(spec).name)


__all__ = ["Training", "UsedNetwork", "accuracy", "given_network", "trained_network", "used_network"]
