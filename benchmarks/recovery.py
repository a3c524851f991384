"""How near an attack on features comes to the input, and how fast: ours beside gradient descent, and beside verdicts.

    python benchmarks/recovery.py [--images 10] [--seconds 60] [--smoke]

The network is small (8 convolutions of 3 x 3, then twice 16 with stride 2, and a linear head), trained for 3 epochs on
the 8 x 8 digits of scikit-learn. Its features are those of float32, and codes of 8 bits. Gradient descent is what
anybody would write first: 600 steps of Adam from grey, put back into [0, 1] after each. Both take one image at a time,
on one thread; seconds are processor time. Where what the attack found is not the image, but its features agree with
those given as well as float32 or the codes can tell, nobody can tell the two apart: these are counted, too. A recovery
is the attack with what is proved around it, and once more with seconds for what is proved of the whole domain.

The second part is the 784 -> 3500 layer of a network on Fashion-MNIST, where FIBERSCOPE_EXTERNAL names a folder that
has it: a recovery from float32 features beside the verdict about the same image.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

import fiberscope as fs
from fiberscope.data.datasets import load_data
from fiberscope.recovery.attack import attack
from fiberscope.threads import one_thread

T = TypeVar("T")
ADAM_STEPS, ADAM_RATE = 600, 0.05
FLOAT32 = 2.0**-20
"""The share of the largest output that outputs in float32 may be off."""
FAR = 1e-3
"""An error (root of the mean square) above which a guess is another image."""


def main() -> None:
    """Print errors, seconds and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument(
        "--smoke", action="store_true", help="an image, one epoch, and the first layer; a smaller dense one"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for what is proved about one image")
    options = parser.parse_args()
    count, epochs, layers = (1, 1, 1) if options.smoke else (options.images, 3, 3)
    seconds = 1.0 if options.smoke else options.seconds
    with one_thread():
        module, images = trained(epochs)
        network = fs.from_torch(module, input_shape=(1, 8, 8))
        print(f"{network!r}; {count} images, error: median of the root of the mean square")
        for layer in range(layers):
            for precision in ("float32", "int8"):
                compare(module, network, layer, precision, images[:count], seconds)
        fashion(1 if options.smoke else 5, every=4 if options.smoke else 1)


def trained(epochs: int) -> tuple[nn.Sequential, torch.Tensor]:
    """The network, and digits that it has not seen."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = torch.tensor(digits.images / 16, dtype=torch.float32)[:, None], torch.tensor(digits.target)
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer, held_out = torch.optim.Adam(module.parameters(), 1e-3), 100
    for _ in range(epochs):
        for batch in torch.randperm(len(x) - held_out).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimizer.step()
    return module.eval(), x[-held_out:]


def compare(
    module: nn.Sequential, network: fs.Network, layer: int, precision: str, images: torch.Tensor, limit: float
) -> None:
    part = module[: 2 * layer + 2]
    errors: tuple[list[float], list[float]] = ([], [])
    seconds = [0.0, 0.0, 0.0, 0.0]
    others, scopes, apart, distances = 0, Counter[str](), list[float](), list[float]()
    for image in images:
        features = part(image[None]).detach()
        within = FLOAT32 * float(features.max())
        if precision == "int8":
            step = float(features.max()) / 255
            features, within = torch.round(features / step) * step, step / 2 * (1 + 1e-5)
        y = features.double().numpy().reshape(1, -1)
        exact = image.double().numpy().ravel()
        theirs, took = timed(lambda y=features: adam(part, y))
        errors[0].append(rms(theirs.numpy().ravel() - exact))
        seconds[0] += took
        guess, took = timed(lambda y=y, eps=within: attack(network, layer, y, fs.Box(0, 1), within=eps))
        errors[1].append(rms(guess.x[0] - exact))
        seconds[1] += took
        others += bool(errors[1][-1] > FAR and guess.residual[0] <= within)
        found, took = timed(lambda y=y, eps=within: fs.recover(network, y[0], layer, within=eps))
        assert isinstance(found, fs.Recovery)
        assert (found.scope == "none" and found.other is None) or found.verify()
        seconds[2] += took
        scopes[str(found.scope)] += 1
        apart += [] if found.other is None else [rms(found.other - found.x)]
        found, took = timed(lambda y=y, eps=within: fs.recover(network, y[0], layer, within=eps, seconds=limit))
        assert isinstance(found, fs.Recovery)
        seconds[3] += took
        distances += [found.distance] if found.scope != "none" else []
    adam_error, our_error = (float(np.median(each)) for each in errors)
    proved = f"{len(distances)} proved" + (f" (within {np.median(distances):.1e})" if distances else "")
    N = len(images)
    print(f"layer {layer}, {precision}: Adam {adam_error:.1e} in {seconds[0] / N:.3f} s, ", end="")
    print(f"attack {our_error:.1e} in {seconds[1] / N:.3f} s, {seconds[0] / seconds[1]:.1f}x as fast; ", end="")
    print(f"{others} of {N} are other images with these features; ", end="")
    second = f", second inputs {np.median(apart):.1e} away" if apart else ""
    print(f"recover {seconds[2] / N:.3f} s, {seconds[0] / seconds[2]:.1f}x as fast: {dict(scopes)}{second}; ", end="")
    print(f"with seconds {seconds[3] / N:.3f} s, {proved}")


def adam(part: nn.Sequential, features: torch.Tensor) -> torch.Tensor:
    """The baseline."""
    x = torch.full((1, 1, 8, 8), 0.5, requires_grad=True)
    optimizer = torch.optim.Adam([x], ADAM_RATE)
    for _ in range(ADAM_STEPS):
        optimizer.zero_grad()
        (part(x) - features).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    return x.detach()


def fashion(count: int, every: int) -> None:
    """A dense layer, or some of its units and pixels: recoveries beside verdicts."""
    path = Path(os.environ.get("FIBERSCOPE_EXTERNAL", "")) / "models" / "fashion_mlp_3500_784.safetensors"
    if not path.is_file():
        print("the layer of Fashion-MNIST is not here: FIBERSCOPE_EXTERNAL names no folder that has it")
        return
    from safetensors.numpy import load_file

    numbers = load_file(path)
    numbers = {"0.weight": numbers["0.weight"][::every, ::every].copy(), "0.bias": numbers["0.bias"][::every].copy()}
    layer = fs.ReLULayer(numbers["0.weight"], numbers["0.bias"])
    images = load_data("fashion-mnist").x[-10_000:].reshape(10_000, -1)[:count, ::every]
    weight, bias = torch.tensor(numbers["0.weight"]), torch.tensor(numbers["0.bias"])
    fs.verify(fs.preimage(layer, x=images[0], domain=fs.Box(0, 1)))  # imports
    ratios: list[float] = []
    for image in images:
        features = (torch.tensor(image).float() @ weight.T + bias).clamp(min=0.0)
        p, verdict = timed(lambda x=image: fs.preimage(layer, x=x, domain=fs.Box(0, 1)))
        r, took = timed(lambda y=features: fs.recover(layer, y, within=FLOAT32 * float(y.max())))
        assert isinstance(r, fs.Recovery)
        ratios.append(took / verdict)
        error = rms(r.x - image)
        print(f"{layer.inputs} -> {layer.outputs}, {p.positives} positive, {p.kind}: verdict {verdict:.2f} s, ", end="")
        print(f"recovery {took:.2f} s, error {error:.1e}, {r!r}")
    print(f"a recovery takes {np.median(ratios):.1f} verdicts (median of {count}; at most {max(ratios):.1f})")


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """What a function gives, and the processor time that it took."""
    began = time.process_time()
    return function(), time.process_time() - began


def rms(difference: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(difference))))


if __name__ == "__main__":
    main()
