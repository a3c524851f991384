"""The command ``fiberscope reproduce``: the door to the package fiberscope-paper, the only one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fiberscope.errors import InputError


def reproduce(
    what: str,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    scale: str = "quick",
    model: Path | None = None,
    data: str | None = None,
    samples: int | None = None,
    epochs: int | None = None,
    networks: Path | None = None,
    seed: int = 0,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    output: str | None = None,
    download: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Compute a figure or table of the paper anew, beside what the paper says.

    Writes WHAT.png, .svg, .parquet (the numbers that are drawn) and .json (data, network, claims) into DIR; tables as
    .md and .json. Where the paper's data are not there, others stand in and the title says so. Exit status 1 if a
    verdict or an example is not proved.

    Args:
        what: figure1 to figure11, table1 to table4; control: what penalties do to a layer; saturation: what injective
            activations do; all; or page, which writes DIR/reproduction.md from what is in DIR.
        out: the folder for the results.
        scale: quick: less than a minute each, with fewer samples and smaller pictures; paper: as printed, as far as
            that can be run.
        model: a network to use instead of the one that is trained, for figures that take one.
        data: the samples: a file, a folder of images, or a name: mnist, mnist-5k, fashion-mnist, cifar10.
        samples: use the first so many test samples; by default what the scale says.
        epochs: train for so many passes over the training data; by default what the scale says.
        networks: the folder of trained networks; by default DIR/networks.
        seed: of training and of what is chosen at random.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        output: the name of the output to take, where --model is an ONNX model with several.
        download: fetch the data set that --data names, or else the paper's for WHAT, MNIST or CIFAR-10, into the folder
            that FIBERSCOPE_DATA names.
    """
    try:
        from fiberscope_paper.command import run
        from fiberscope_paper.context import Context, checked_scale
    except ModuleNotFoundError as error:
        if error.name != "fiberscope_paper":  # what that package needs is another matter
            raise
        hint = "pip install fiberscope-paper, or from a checkout: pip install ./reproduction"
        raise InputError("reproduce", expected="the package fiberscope-paper", got="none", hint=hint) from None
    folder = networks or out / "networks"
    context = Context(folder, checked_scale(scale), model, data, samples, epochs, seed, trust_model, output=output)
    return run(what, context, out, download=download)


__all__ = ["reproduce"]
