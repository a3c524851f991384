"""The examples at the end of every command's help. Tests run them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

_KEPT = "\N{NO-BREAK SPACE}"

_WIDTH = 74
"""What fits into a terminal of 80 columns behind the margins of a block."""

EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "audit": (
        ("the built-in demo", "fiberscope audit --out demo"),
        (
            "100 samples of numbers between 0 and 1, with singular values at 20 of them",
            "fiberscope audit model.onnx data.npz --out results --domain 0,1 --samples 100 --spectra 20",
        ),
        (
            "options from a file; exit status 1 if layer 0 is blind at too many samples",
            "fiberscope audit model.onnx data.npz --out results --config audit.toml --fail-on 'unbounded>10%@layer0'",
        ),
    ),
    "inspect": (
        ("what a model is made of", "fiberscope inspect model.onnx"),
        (
            "a file that leaves its input's shape open, in a format that can run code",
            "fiberscope inspect model.pt2 --input-shape 3,32,32 --trust-model",
        ),
    ),
    "verify": (
        ("prove all verdicts again", "fiberscope verify results"),
        ("the same in rational arithmetic only", "fiberscope verify results --exact"),
    ),
    "report": (
        ("write the page again", "fiberscope report results"),
        (
            "hold a finished audit against thresholds",
            "fiberscope report results --fail-on 'undecided>0' --fail-on 'dimension.max>50@layer1@nonnegative'",
        ),
    ),
    "compare": (
        ("what changed from one version of a model to the next", "fiberscope compare results-old results-new"),
        (
            "the same of several versions, as a page with plots",
            "fiberscope compare results-old results-new results --out changes.html",
        ),
        (
            "the same as JSON; exit status 1 if more than 5% of the samples lost",
            "fiberscope compare results-old results-new --out changes.json --fail-on 'less-invertible>0.05'",
        ),
    ),
    "invariance": (
        (
            "the input with the features of sample 3 that is most like sample 5",
            "fiberscope invariance model.onnx data.npz --source 3 --target 5 --domain 0,1 --out examples",
        ),
        ("the examples that change most", "fiberscope invariance model.onnx data.npz --count 2 --out examples"),
    ),
    "leakage": (
        (
            "what float32 and 8-bit features of every layer give away of 2 samples",
            "fiberscope leakage model.onnx data.npz --out leaks --samples 2 --precision float32,int8",
        ),
        (
            "exit status 1 if an attack rebuilds a sample from 8-bit features of layer 2",
            "fiberscope leakage model.onnx data.npz --out held --samples 2 --fail-on 'rebuilt>0@layer2@int8'",
        ),
    ),
    "reproduce": (
        ("one figure of the paper", "fiberscope reproduce figure3 --out paper"),
        ("all figures and tables, as printed", "fiberscope reproduce all --out paper --scale paper"),
    ),
    "completion": (
        ("for the bash that is open", 'eval "$(fiberscope completion bash)"'),
        (
            "for good, where bash-completion is installed",
            "fiberscope completion bash > ~/.local/share/bash-completion/completions/fiberscope",
        ),
        ("for good, in fish", "fiberscope completion fish > ~/.config/fish/completions/fiberscope.fish"),
    ),
}
"""What each example does, and its command line, by command."""


def epilogue(command: str) -> str:
    """The examples of a command as its help shows them, in Markdown; what is too long goes on behind a backslash."""
    blocks = [f"# {words}\n{_folded(example)}" for words, example in EXAMPLES[command]]
    return "\n".join(["Examples:", "```sh", *blocks, "```"])


def _folded(example: str) -> str:
    """Break a command line in front of options and redirections, so that none is parted from its value."""
    parts = [part.replace(" ", _KEPT) for part in re.split(r" (?=--|>)", example)]
    lines = textwrap.wrap(
        " ".join(parts), _WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )
    return " \\\n".join(lines).replace(_KEPT, " ")


__all__ = ["EXAMPLES", "epilogue"]
