"""Importing the package is cheap, and its public names stay what they are whatever is imported first."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import fiberscope as fs

HEAVY = (
    *(
        "torch",
        "scipy",
        "highspy",
        "flint",
        "pyarrow",
        "matplotlib",
        "plotly",
        "jinja2",
        "safetensors",
        "onnx",
        "keras",
    ),
)


def run_python(code: str) -> str:
    """What a fresh interpreter prints when it runs ``code``."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after(code: str) -> set[str]:
    printed = run_python(
        f"{code}\nimport sys; print('\\n' + ' '.join(name for name in {HEAVY} if name in sys.modules))"
    )
    return set(printed.splitlines()[-1].split())


def test_import_loads_nothing_heavy():
    assert loaded_after("import fiberscope") == set()


def test_the_check_sees_what_is_loaded():
    assert loaded_after("import fiberscope; fiberscope.ReLULayer; import scipy") == {"scipy"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["audit", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]):
    assert loaded_after(f"from fiberscope.cli import main; assert main({arguments}) == 0") == set()


def test_every_public_name_exists():
    for name in fs.__all__:
        assert getattr(fs, name) is not None
    assert len(set(fs.__all__)) == len(fs.__all__)
    assert set(fs.__all__) <= set(dir(fs))


def test_the_help_begins_with_every_function_by_what_it_is_for():
    assert fs.__doc__ is not None
    words = set(re.findall(r"[A-Za-z_]+[0-9]*", fs.__doc__))
    functions = {name for name in fs.__all__ if inspect.isfunction(getattr(fs, name))}
    assert functions <= words
    assert set(fs.plots.__all__) <= words
    assert {name for name in fs.theory.__all__ if name.islower()} <= words
    assert len(fs.__doc__.splitlines()) <= 40


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="fiberscope attribute no_such_name"):
        _ = fs.no_such_name  # type: ignore[attr-defined]


def test_a_package_of_a_similar_name_hides_no_function():
    code = (
        "import fiberscope.preimages, fiberscope.audits, fiberscope as fs, types\n"
        "from fiberscope import preimage\n"
        "assert preimage is fs.preimage and isinstance(preimage, types.FunctionType)\n"
    )
    run_python(code)


def test_main_module_hands_over_the_exit_status():
    done = subprocess.run(
        [sys.executable, "-m", "fiberscope", "no-such-command"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no-such-command" in done.stderr
