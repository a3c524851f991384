"""Ten thousand certified verdicts of one layer, against one linear program per sample, side by side in one run.

    python benchmarks/many_verdicts.py [--samples 10000] [--stratified 40] [--printed 40] [--parts all] [--smoke]

The layer is (3500, 784), trained on Fashion-MNIST, at its test images, where FIBERSCOPE_EXTERNAL names a folder that
has it; else random weights of that shape. Parts, of which ``--parts`` may name some, separated by commas:

layer     all samples on all of R^n: time, routes, certificates, proofs, peak memory; against one HiGHS program per
          sample (verdict_time.py) and Algorithm 1 as printed, on samples spread evenly over the positive outputs; where
          the printed algorithm's answer must differ from the verdict; against one forward pass
curve     the cost per verdict for fewer samples
box       all samples in the box [0, 1]
same      whether random ones get the verdicts that ``fs.preimage`` gives them alone, on both domains
demo      all layers of the 100-unit demo network on its held-out digits, with the printed algorithm run on each
conv      the first layer of cifar_base_kw on CIFAR-10 images, where FIBERSCOPE_EXTERNAL has both
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections import Counter
from pathlib import Path

import numpy as np
from _demo import demo
from verdict_time import baseline, large_layer

import fiberscope as fs
from fiberscope.preimages.verify import verify_many
from fiberscope.threads import cores, one_thread

PARTS = ("layer", "curve", "box", "same", "demo", "conv")


def main() -> None:
    """Print the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--stratified", type=int, default=40, help="samples for HiGHS")
    parser.add_argument("--printed", type=int, default=40, help="samples for Algorithm 1: some ten seconds each")
    parser.add_argument("--compared", type=int, default=200, help="samples that are asked alone as well")
    parser.add_argument("--parts", default="all", help=f"some of {', '.join(PARTS)}")
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="40 samples of fewer units and pixels, a program, two layers of the untrained demo",
    )
    options = parser.parse_args()
    if options.smoke:
        options.samples, options.stratified, options.printed, options.parts = 40, 1, 0, "layer,demo"
    parts = PARTS if options.parts == "all" else options.parts.split(",")
    print(f"{cores()} cores")
    name, layer, images = large_layer(options.samples)
    if options.smoke:
        name, layer = "its first 875 units, every fourth pixel", fs.ReLULayer(layer.weight[:875, ::4], layer.bias[:875])
        images = images[:, ::4]
    if "layer" in parts:
        whole_space(name, layer, images, options.stratified, options.printed)
    if "curve" in parts:
        curve(name, layer, images)
    if "box" in parts:
        report(f"{name}, in the box [0, 1]", layer, images, fs.Box(0, 1))
    if "same" in parts:
        same(layer, images, options.compared)
    if "demo" in parts:
        if options.smoke:
            demo_network(5, 2, trained=False)
        else:
            demo_network(1000, 10, trained=True)
    if "conv" in parts:
        convolution()


def report(name: str, layer: fs.ReLULayer, X: np.ndarray, domain: fs.Domain | None) -> tuple[fs.Classification, float]:
    """Classify, check every proof once more, and print what it took."""
    began = time.perf_counter()
    judged = fs.classify(layer, X, domain=domain)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with one_thread():
        proved = verify_many(judged.preimages, cores())
    took, kinds = judged.statistics, Counter(judged.kind.tolist())
    print(f"\n{name}: {len(X)} samples")
    print(f"  {seconds:.1f} s in all, {1e3 * seconds / len(X):.2f} ms a verdict; peak memory {peak:.2f} GB")
    print(f"  {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    print(f"  proved by the float checker: {proved.mean():.2%}; different certificates: {judged.certificates}")
    print(f"  {took.patterns:.1f} s patterns, {took.searching:.1f} s searching, {took.checking:.1f} s checking", end="")
    print(f", {took.singly:.1f} s for what was left")
    for route, count in sorted(took.samples.items(), key=lambda item: -item[1]):
        print(f"  {count:>6} samples by {route}: {took.seconds.get(route, 0.0):.1f} s, added over threads")
    return judged, seconds


def whole_space(name: str, layer: fs.ReLULayer, X: np.ndarray, stratified: int, printed: int) -> None:
    """All samples, and the baselines on some."""
    fs.classify(layer, X[:2])  # imports
    judged, seconds = report(f"{name}, on all of R^n", layer, X, None)
    began = time.perf_counter()
    layer(X)
    forward = time.perf_counter() - began
    print(f"  one forward pass of all samples: {forward:.2f} s; the verdicts cost {seconds / forward:.0f} of them")
    order = np.argsort(judged.positives, kind="stable")
    ours = seconds / len(X)
    times: list[float] = []
    for i in order[::-1][np.linspace(0, len(order) - 1, stratified).astype(int)]:  # a single one is the quickest
        began = time.perf_counter()
        says = baseline(layer, X[i])
        times.append(time.perf_counter() - began)
        if says != judged[i].kind:
            print(f"  HiGHS says {says} of sample {i}, whose verdict is {judged[i].kind}")
    print(
        f"  HiGHS on {stratified} of them: median {np.median(times):.2f} s, mean {np.mean(times):.2f} s a sample",
        end="",
    )
    print(f"; ours is {np.median(times) / ours:.0f}x (median), {np.mean(times) / ours:.0f}x (mean) faster")
    times = []
    for i in order[np.linspace(0, len(order) - 1, printed).astype(int)]:
        began = time.perf_counter()
        finite = fs.algorithm1(layer.weight, layer.bias, layer(X[i]))
        times.append(time.perf_counter() - began)
        if finite != (judged[i].kind != "unbounded"):
            print(f"  Algorithm 1 says {'finite' if finite else 'infinite'} of sample {i}, which is {judged[i].kind}")
    if times:
        print(f"  Algorithm 1 as printed on {printed}: median {np.median(times):.1f} s", end="")
        print(f", {min(times):.1f} to {max(times):.1f} s a sample; ours is {np.mean(times) / ours:.0f}x faster (mean)")
    print(f"  samples where the printed algorithm, computed exactly, differs: {disagreements(layer, judged)}")


def disagreements(layer: fs.ReLULayer, judged: fs.Classification) -> str:
    """Where the certificates show that the printed algorithm's program has another answer than the verdict.

    It asks for 0 in the closed hull of the reduced rows of N. Multipliers of a bounded preimage put it there, and so
    agree. A direction that falls strictly along all rows of N outside independent rows Q keeps it out: multipliers on
    rows of Q alone would make these dependent. Elsewhere (zero rows) nothing is said here.
    """
    strict = bounded = 0
    for p in judged:
        recession = p.certificate.recession
        if p.kind == fs.Kind.UNBOUNDED and recession is not None and recession.direction is not None:
            strict += p.margin > 0 and bool(np.abs(layer.weight).max(axis=1).all())
        else:
            bounded += p.kind in (fs.Kind.BOUNDED, fs.Kind.SINGLETON)
    return (
        f"0 of {strict + bounded} where the certificate settles it, {len(judged) - strict - bounded} not settled by it"
    )


def curve(name: str, layer: fs.ReLULayer, X: np.ndarray) -> None:
    """The cost per verdict of the first N samples."""
    print(f"\n{name}, on all of R^n: the cost per verdict")
    for count in (100, 1_000, 10_000):
        if count <= len(X):
            began = time.perf_counter()
            judged = fs.classify(layer, X[:count])
            each = 1e3 * (time.perf_counter() - began) / count
            print(f"  N = {count:>6}: {each:6.2f} ms a verdict, {judged.certificates} certificates")


def same(layer: fs.ReLULayer, X: np.ndarray, count: int) -> None:
    """Random samples once more, each alone."""
    chosen = np.random.default_rng(0).choice(len(X), min(count, len(X)), replace=False)
    for domain in (None, fs.Box(0, 1)):
        judged = fs.classify(layer, X, domain=domain)
        alone = [fs.preimage(layer, x=X[i], domain=domain) for i in chosen]
        differ = sum(
            (p.kind, p.dimension, p.positives) != (judged[i].kind, judged[i].dimension, int(judged.positives[i]))
            for i, p in zip(chosen, alone, strict=True)
        )
        where = "all of R^n" if domain is None else "the box [0, 1]"
        print(
            f"\n{where}: {differ} of {len(chosen)} random verdicts of {len(X)} differ from the single-sample method's"
        )


def demo_network(samples: int, layers: int, *, trained: bool) -> None:
    """Layers of the demo network, and the printed algorithm on every sample of each."""
    network, test = demo(trained=trained)
    X = test.x[:samples]
    for position, layer in enumerate(network.relu_layers[:layers]):
        inputs = network.layer_input(position, X)
        for domain in (None, fs.Box(0, 1) if position == 0 else fs.NonNegative()):
            where = "all of R^n" if domain is None else type(domain).__name__
            judged, _ = report(f"demo network, layer {position} on {where}", layer, inputs, domain)
            if domain is None:
                outputs = layer(inputs)
                finite = np.array([fs.algorithm1(layer.weight, layer.bias, y) for y in outputs])
                differs = int((finite != (judged.kind != "unbounded")).sum())
                print(f"  the printed algorithm disagrees with {differs} of {len(X)} verdicts")


def convolution() -> None:
    """The first layer of a convolutional network."""
    root = Path(os.environ.get("FIBERSCOPE_EXTERNAL", ""))
    model, data = root / "models" / "cifar_base_kw.onnx", root / "data" / "cifar10_test_83.npz"
    if not (model.exists() and data.exists()):
        print("\ncifar_base_kw and its images are not here: FIBERSCOPE_EXTERNAL names no folder that has them")
        return
    network = fs.load(model)
    images = np.load(data)["x"] / 255.0
    X = (images - np.array([0.485, 0.456, 0.406])[:, None, None]) / 0.225
    layer = network.relu_layers[0]
    report(f"cifar_base_kw, first layer {layer!r}", layer, X.reshape(len(X), -1), None)


if __name__ == "__main__":
    main()
