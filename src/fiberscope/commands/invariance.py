"""The command ``fiberscope invariance``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fiberscope.commands import FAILED, FINE
from fiberscope.commands.arguments import parse_wanted
from fiberscope.jobs.given import given_subject

if TYPE_CHECKING:
    from numpy.typing import NDArray


def invariance(
    model: Path,
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(name="--out")],
    source: int | None = None,
    target: int | None = None,
    layer: str = "0",
    domain: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    objective: str | None = None,
    regions: str = "1",
    within: str = "0",
    count: int = 1,
    seed: int = 0,
    trust_model: Annotated[bool, Parameter(negative="")] = False,
    output: str | None = None,
) -> int:
    """Find another input that a layer maps to the same features, exactly or up to --within, and prove it.

    Within all inputs with the features of the source, the one that is most like the target. With neither --source nor
    --target: the samples with the fewest positive outputs are tried, towards samples of other classes, and what changes
    most is kept.

    Args:
        model: the network: .onnx, .pt2 (torch.export), .keras, .h5, or .safetensors written by Network.save.
        data: the samples: .npz (arrays x, optional y), .npy, IDX (.gz too), a folder of images, or a name: mnist,
            mnist-5k, fashion-mnist, cifar10.
        out: the folder for the examples; if it holds an audit of the same network, its report shows them.
        source: the position of the sample whose features are kept.
        target: the position of the sample to go towards.
        layer: the position of the ReLU layer, or output for the network's output.
        domain: LOW,HIGH: bounds of every input; by default the smallest and the largest number in the data.
        objective: what is sought: inner_product, towards, nearest_l1, nearest_l2, nearest_linf, farthest_l1,
            farthest_l2, farthest_linf, smallest_change_l1, smallest_change_l2 or smallest_change_linf. By default
            nearest_l2 for pictures, which the inner product drives into noise, if they stay in one activation region;
            else inner_product, the paper's.
        regions: how many activation regions of the layers before to go through; 1 stays in that of the source. all: the
            best of all regions, by mixed-integer programming, for networks of some tens of units.
        within: by how much every feature may differ: 0 for not at all, a positive number, float32 or float16 for what
            rounding the layer's own sums may make of them, or int8 for half a step of 8-bit codes.
        count: how many examples to keep, those with the largest change.
        seed: of what is chosen at random.
        trust_model: load a model format that can run code when it is loaded (.pt2, .h5, .keras with code of its own).
        output: the name of the output to take, where an ONNX model has several.
    """
    from fiberscope.audits.examples import make_examples
    from fiberscope.audits.job import Options
    from fiberscope.audits.store import Results
    from fiberscope.report.examples import distinct_warnings, example_lines
    from fiberscope.report.html import publish_examples
    from fiberscope.report.progress import progress_on_stderr

    subject = given_subject(model, data, Options(), trust=trust_model, output=output)
    asked = usual_objective(subject.x, regions) if objective is None else objective
    wanted = parse_wanted(
        subject.x, layer, domain, asked, regions, count, source=source, target=target, seed=seed, within=within
    )
    with progress_on_stderr() as progress:
        examples = make_examples(subject, wanted, lambda done, total: progress.show("pairs", done, total))
    results = Results(out)
    for example in examples:
        results.examples.write(example)
        for line in example_lines(example.facts):
            print(line)
    for warning in distinct_warnings(example.facts for example in examples):
        print(f"warning: {warning}")
    print(f"report: {publish_examples(results, subject.network.digest())}")
    return FINE if all(example.facts.proved for example in examples) else FAILED


def usual_objective(x: NDArray[Any], regions: str) -> str:
    """What is sought where nothing is said: what looks most like the target, of pictures in one region."""
    from fiberscope.showing.pictures import picture_format

    return "nearest_l2" if regions == "1" and picture_format(x) is not None else "inner_product"


__all__ = ["invariance", "usual_objective"]
