"""The sets of operators that a model of ONNX uses, and their versions."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, defs

from fiberscope.errors import ModelError

STANDARD_DOMAINS = ("", "ai.onnx")

ML = "ai.onnx.ml"
"""The set for what is not made of tensors alone; pipelines of scikit-learn are written with it."""

OLDEST_OPSET = 6


def domain_of(node: NodeProto) -> str:
    """The set that an operator belongs to; the standard one has two names, of which this is the empty one."""
    return "" if node.domain in STANDARD_DOMAINS else node.domain


def operator_of(node: NodeProto) -> str:
    """The name of an operator, behind that of its set unless that is the standard one."""
    return f"{node.domain}.{node.op_type}" if domain_of(node) else node.op_type


def versions_of(model: ModelProto) -> dict[str, int]:
    """The version of each set; entries that say the same twice count once.

    Raises:
        ModelError: several versions of one set, or one of the standard operators that is missing or not known.
    """
    found: dict[str, set[int]] = {}
    for entry in model.opset_import:
        found.setdefault("" if entry.domain in STANDARD_DOMAINS else entry.domain, set()).add(entry.version)
    for domain, versions in found.items():
        if len(versions) > 1:
            name = f"the operators of {domain}" if domain else "the standard operators"
            raise ModelError(
                f"expected one version of {name}, got {' and '.join(map(str, sorted(versions)))}; if the model was "
                "merged from parts, convert these to one version with onnx.version_converter, and merge them again"
            )
    newest = defs.onnx_opset_version()
    if "" not in found:
        if not found or any(not domain_of(node) for node in model.graph.node):
            raise ModelError("expected one version of the standard operators, got none; the file may be truncated")
        found[""] = {newest}  # no standard operator has a version to depend on
    versions = {domain: min(of_domain) for domain, of_domain in found.items()}
    if not OLDEST_OPSET <= versions[""] <= newest:
        raise ModelError(
            f"expected operators of a version from {OLDEST_OPSET} to {newest}, got version {versions['']}; convert the "
            "model with onnx.version_converter, or install a newer onnx"
        )
    return versions


__all__ = ["ML", "STANDARD_DOMAINS", "domain_of", "operator_of", "versions_of"]
