"""Figures 6 and 11: different pictures with the same features of the first layer [section 4, appendix A7]."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.demo import demo
from fiberscope.errors import InputError
from fiberscope.invariance.examples import invariance_examples
from fiberscope.invariance.pairs import checked_labels, positive_outputs
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Box
from fiberscope.network.network import Network
from fiberscope.preimages.preimage import preimage
from fiberscope_paper import recipes
from fiberscope_paper.architectures import table1
from fiberscope_paper.context import Context
from fiberscope_paper.figure6_claims import claims
from fiberscope_paper.figure6_drawing import as_picture, draw
from fiberscope_paper.figure6_variants import Shown, Variant, cosine
from fiberscope_paper.networks import Training, UsedNetwork, used_network
from fiberscope_paper.outcome import Outcome
from fiberscope_paper.sources import UsedData, used_data

CANDIDATES_QUICK, CANDIDATES_PAPER = 5, 25
"""Targets of each class that are tried; the one that is resembled most is shown."""

FEWEST = 10
"""Samples with the fewest positive outputs whose classes are told."""

ROWS_6 = ((3, (6, 4)),)
"""Figure 6: a 3, and variants towards a 6 and a 4."""

ROWS_11 = (*ROWS_6, (4, (9, 7)))
"""Figure 11 also has a 4; the paper does not print which targets that one has."""


Rows = tuple[tuple[int, tuple[int, ...]], ...]
"""The classes of the sources, and those of the targets of each."""


def figure6(context: Context) -> Outcome:
    """A 3, and two variants with exactly its features."""
    return _figure(context, ROWS_6)


def figure11(context: Context) -> Outcome:
    """A 3 and a 4, and two variants of each."""
    return _figure(context, ROWS_11)


def _figure(context: Context, rows: Rows) -> Outcome:
    data = used_data(context, paper="mnist", stand_ins=("mnist-5k",))
    _check_samples(data, rows, context)  # before a network is trained for nothing
    used = used_network(context, _training(data), data)
    X, y = _samples(data, used, context)
    shown = _shown(used.network, X, y, rows, context)
    flat = [variant for row in shown.variants for variant in row]
    title = f"Same features in the first layer of {first_layer_units(used.network)} units, {data.where}"
    return Outcome(
        title,
        _caption(used, data, shown, len(X), context),
        _facts(shown),
        claims(shown, data),
        figure=draw(shown, title),
        numbers=_numbers(flat),
        data=data,
        network=used,
        samples=len(X),
        unproved=sum(not variant.verification for variant in flat),
    )


def _training(data: UsedData) -> Training:
    """The demo's recipe for few samples, for which the paper's batches would leave hardly any steps."""
    title = "The paper's table 1 network (784 inputs, ten ReLU layers of 100, 10 classes)"
    few = data.training is None or len(data.training) < 10 * recipes.MNIST.batch_size
    return Training("table1", title, table1, demo.RECIPE if few else replace(recipes.MNIST, threads=1), recipes.MNIST)


def first_layer_units(network: Network) -> int:
    """The size of the first ReLU layer.

    Raises:
        InputError: there is none.
    """
    if not network.relu_layers:
        raise InputError("--model", expected="a network with a ReLU layer", got="one without")
    return network.relu_layers[0].outputs


def _check_samples(data: UsedData, rows: Rows, context: Context) -> None:
    """InputError unless there are pictures of every class that the figure shows."""
    labels = _labels(data)[: context.samples]
    for wanted in {each for source, targets in rows for each in (source, *targets)}:
        _of_class(np.arange(len(labels)), labels, wanted)
    as_picture(np.asarray(data.test.x[0], np.float64))


def _labels(data: UsedData) -> IntArray:
    labels = checked_labels(data.test.y, len(data.test))
    if labels is None:
        got = f"samples of {data.test.name} without classes"
        raise InputError("--data", expected="classes, to choose pictures by", got=got)
    return labels


def _samples(data: UsedData, used: UsedNetwork, context: Context) -> tuple[FloatArray, IntArray]:
    x, labels = data.test.x[: context.samples], _labels(data)[: context.samples]
    return used.network.flat(x.reshape(-1, *used.network.input_shape)), labels


def _shown(
    network: Network,
    X: Float64[FloatArray, "N n"],
    y: Int64[IntArray, " N"],
    rows: Rows,
    context: Context,
) -> Shown:
    positives = positive_outputs(network, X, network.placed_layers[0].stage)
    order = np.argsort(positives, kind="stable")
    total, variants = sum(len(targets) for _, targets in rows), list[tuple[Variant, ...]]()
    dimensions, kinds, limits = dict[int, int | None](), dict[int, str](), picture_limits(X)
    for source_class, targets in rows:
        source = int(_of_class(order, y, source_class)[0])
        row: list[Variant] = []
        for target_class in targets:
            row.append(_variant(network, X, y, source, target_class, context))
            context.progress("invariance examples", sum(map(len, variants)) + len(row), total)
        variants.append(tuple(row))
        x = network.layer_input(0, X[source].reshape(1, *network.input_shape))[0]
        layer, box = network.relu_layers[0], Box(*limits)
        dimensions[source] = preimage(layer, x=x, domain=box).dimension if len(x) == X.shape[1] else None
        kinds[source] = str(preimage(layer, x=x).kind)
    return Shown(tuple(variants), positives, tuple(int(y[i]) for i in order[:FEWEST]), dimensions, kinds, limits)


def _variant(network: Network, X: FloatArray, y: IntArray, source: int, target_class: int, context: Context) -> Variant:
    """Of some random targets of a class, the example that is most like its target.

    Those go first that look like a picture of the target's class, by the sample next to them.
    """
    generator = np.random.default_rng([context.seed, source, target_class])
    count = context.at_scale(quick=CANDIDATES_QUICK, paper=CANDIDATES_PAPER)
    candidates = generator.permutation(_of_class(np.arange(len(y)), y, target_class))
    candidates = candidates[candidates != source][:count]
    examples = invariance_examples(network, X[source], [X[c] for c in candidates], domain=Box(*picture_limits(X)))
    seen = [looks_like(X, y, e.x, (source, int(c))) for e, c in zip(examples, candidates, strict=True)]
    alike = [cosine(e.x, X[c]) for e, c in zip(examples, candidates, strict=True)]
    best = max(range(len(examples)), key=lambda i: (seen[i] == target_class, alike[i]))
    example, target = examples[best], int(candidates[best])
    predictions = network(np.stack([example.source, example.x])).reshape(2, -1).argmax(axis=1)
    return Variant(
        example,
        example.verify(),
        source,
        target,
        int(y[source]),
        target_class,
        seen[best],
        (int(predictions[0]), int(predictions[1])),
    )


def looks_like(X: Float64[FloatArray, "N n"], y: Int64[IntArray, " N"], x: FloatArray, but: tuple[int, ...]) -> int:
    """The class of the sample next to x by the angle between them, among all but some."""
    lengths = np.linalg.norm(X, axis=1)
    cosines = X @ x.ravel() / np.where(lengths > 0, lengths, np.inf)
    cosines[list(but)] = -np.inf
    return int(y[int(np.argmax(cosines))])


def picture_limits(X: Float64[FloatArray, "N n"]) -> tuple[float, float]:
    """The bounds of the paper's box, 0 and 1; where samples do not lie in it, the range of their numbers."""
    return min(0.0, float(X.min())), max(1.0, float(X.max()))


def _of_class(numbers: IntArray, y: IntArray, wanted: int) -> IntArray:
    found = numbers[y[numbers] == wanted]
    if not len(found):
        got = f"classes {', '.join(str(label) for label in np.unique(y))}"
        raise InputError("--data", expected=f"samples of class {wanted}, which the figure shows", got=got)
    return found


def _caption(used: UsedNetwork, data: UsedData, shown: Shown, count: int, context: Context) -> str:
    flat = [variant for row in shown.variants for variant in row]
    tried = context.at_scale(quick=CANDIDATES_QUICK, paper=CANDIDATES_PAPER)
    residual = max(variant.example.feature_residual for variant in flat)
    proved = sum(bool(variant.verification) for variant in flat)
    return (
        f"{used.description} Data: {data.test.description}; {count:,} of them are searched. Each row: the picture of "
        "its class with the fewest positive outputs in the first layer; then, for each target, the target, the picture "
        "with exactly the features of the first one that has the largest inner product with the target, and the change "
        f"(red: more, blue: less). Of {tried} random targets of a class, seed {context.seed}, the one is shown that is "
        "resembled most, if possible one whose picture with the same features is next to a sample of the target's "
        f"class. Features differ by at most {residual:.1e} in float64; {proved} of {len(flat)} are proved: "
        "within a tiny distance there is a picture with exactly these features."
    )


def _facts(shown: Shown) -> dict[str, Any]:
    return {
        "positives": {"smallest": int(shown.positives.min()), "median": float(np.median(shown.positives))},
        "classes_of_the_fewest_positives": list(shown.fewest),
        "variants": [
            {
                "source": v.source,
                "source_class": v.source_class,
                "positives": int(shown.positives[v.source]),
                "dimension_in_box": shown.dimensions[v.source],
                "kind": shown.kinds[v.source],
                "target": v.target,
                "target_class": v.target_class,
                "feature_residual": v.example.feature_residual,
                "feature_units": v.example.feature_units,
                "proved": bool(v.verification),
                "verification": v.verification.reason,
                "cosine_with_target": v.resemblance[0],
                "cosine_with_source": v.resemblance[1],
                "distance": v.example.distance,
                "pixels_changed": v.example.pixels_changed,
                "next_sample_has_class": v.looks_like,
                "predicted_for_source": v.predictions[0],
                "predicted_for_variant": v.predictions[1],
            }
            for row in shown.variants
            for v in row
        ],
    }


def _numbers(variants: list[Variant]) -> dict[str, Any]:
    """One row per variant, with the three pictures."""
    return {
        "source": [v.source for v in variants],
        "target": [v.target for v in variants],
        "source_pixels": [v.example.source.ravel().tolist() for v in variants],
        "target_pixels": [np.ravel(np.asarray(v.example.target)).tolist() for v in variants],
        "variant_pixels": [v.example.x.ravel().tolist() for v in variants],
        "proved": [bool(v.verification) for v in variants],
    }


__all__ = ["Shown", "Variant", "cosine", "figure6", "figure11", "first_layer_units", "picture_limits"]
