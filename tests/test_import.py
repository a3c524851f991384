"""Importing the package is cheap, and its public names stay what they are whatever is imported first."""

from __future__ import annotations

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


def test_the_table_of_modules_names_what_is_public():
    assert set(fs._MODULE_OF) == set(fs.__all__)


def test_names_are_defined_where_the_table_says():
    for name in set(fs.__all__) - {"preimage"}:
        assert getattr(fs, name).__module__.startswith(f"fiberscope.{fs._MODULE_OF[name]}".rsplit(".", 1)[0])


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'preimages'"):
        _ = fs.preimages  # type: ignore[attr-defined]


PREIMAGE_IS_THE_FUNCTION = (
    "import types; assert isinstance(fiberscope.preimage, types.FunctionType), fiberscope.preimage"
)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "imports",
    [
        "import fiberscope",
        "import fiberscope; fiberscope.preimage",
        "import fiberscope.preimage; import fiberscope",
        "import fiberscope; from fiberscope.preimage.kind import Kind",
        "import fiberscope; fiberscope.Kind",
        "from fiberscope.preimage.kind import Kind; import fiberscope",
        "import fiberscope; fiberscope.preimage; import fiberscope.preimage.certificate",
        "import fiberscope, importlib; importlib.import_module('fiberscope.preimage.preimage')",
        "from fiberscope import *; import fiberscope; from fiberscope.preimage import kind; kind.Kind",
    ],
)
def test_preimage_is_the_function_in_every_order_of_imports(imports: str):
    run_python(f"{imports}\n{PREIMAGE_IS_THE_FUNCTION}")


def test_the_subpackage_stays_importable_after_the_function_was_used():
    code = (
        "import fiberscope as fs, sys, types; before = fs.preimage\n"
        "from fiberscope.preimage.kind import Kind\n"
        "from fiberscope import preimage\n"
        "assert Kind is fs.Kind and preimage is before is fs.preimage\n"
        "assert isinstance(sys.modules['fiberscope.preimage'], types.ModuleType)\n"
    )
    run_python(code)


def test_main_module_hands_over_the_exit_status():
    done = subprocess.run(
        [sys.executable, "-m", "fiberscope", "no-such-command"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "no-such-command" in done.stderr
