"""The site says everything that is public, its workflows are valid, and README's links work wherever it is shown."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fiberscope as fs

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in (DOCS / "api").glob("*.md") if path.stem != "index")
DIRECTIVE = re.compile(r"^\.\. auto(?:function|class|exception|module):: fiberscope\.(\w+)$", re.MULTILINE)
SITE, REPOSITORY = "https://fiberscope.github.io/fiberscope/", "https://github.com/fiberscope/fiberscope/blob/main/"
FUNCTIONS = [name for name in fs.__all__ if inspect.isfunction(getattr(fs, name))]


def sections() -> list[tuple[str, str, list[str]]]:
    """Of every section of the API pages: the page, its text, and the names that it documents."""
    texts = [(page.stem, part) for page in PAGES for part in page.read_text(encoding="utf-8").split("\n## ")]
    return [(page, part, names) for page, part in texts if (names := DIRECTIVE.findall(part))]


def test_every_public_name_is_on_one_page() -> None:
    documented = [name for _, _, names in sections() for name in names]
    assert sorted(documented) == sorted(fs.__all__), "a public name belongs into docs/api/, with an example"


def test_the_overview_lists_what_is_on_the_pages() -> None:
    listed = re.findall(
        r"^ {3}fiberscope\.(\w+)$", (DOCS / "api" / "index.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert listed == [name for page in toctree(DOCS / "api" / "index.md") for name in on_page(page)]


def on_page(page: str) -> list[str]:
    return DIRECTIVE.findall((DOCS / "api" / f"{page}.md").read_text(encoding="utf-8"))


def toctree(page: Path) -> list[str]:
    """The pages that a page's trees name."""
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]


@pytest.mark.parametrize(
    ("page", "text", "names"), sections(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_examples_use_what_they_stand_for(page: str, text: str, names: list[str]) -> None:
    code = "\n".join(line for line in text.splitlines() if line.startswith((">>> ", "... ")))
    used = set(re.findall(r"\bfs\.(\w+)", code))
    functions = {name for name in names if name in FUNCTIONS}
    assert functions <= used, page
    assert used & set(names) or ">>> " in text, page
    assert code, page


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_take_give_and_refuse(name: str) -> None:
    text = inspect.getdoc(getattr(fs, name)) or ""
    assert [part for part in ("Args:", "Returns:", "Raises:") if f"\n{part}\n" not in text] == []


def test_every_page_is_in_a_tree() -> None:
    trees = [page for page in DOCS.rglob("*.md") if toctree(page)]
    named = {(tree.parent / f"{entry}.md").resolve() for tree in trees for entry in toctree(tree)}
    outside = {DOCS / "index.md", DOCS / "paper.md"}
    assert {page.resolve() for page in DOCS.rglob("*.md")} - {page.resolve() for page in outside} == named


def test_links_of_the_readme_are_absolute_and_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"^\[[\w-]+\]: (\S+)$", text, re.MULTILINE)
    assert [target for target in targets if not target.startswith("https://")] == []
    pages = [target.removeprefix(SITE) for target in targets if target.startswith(SITE)]
    assert pages
    for page in pages:
        source = page.replace("_images/", "") if page.startswith("_images/") else page.replace(".html", ".md")
        assert (DOCS / source).is_file(), page
    for file in (target.removeprefix(REPOSITORY) for target in targets if target.startswith(REPOSITORY)):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", sorted((ROOT / ".github" / "workflows").glob("*.yml"))),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
    ids=["workflows", "citation"],
)
def test_files_for_others_are_valid(schema: str, files: list[Path]) -> None:
    pytest.importorskip("check_jsonschema", reason="holds the schemas; it is in the extra 'dev'")
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_workflows_run_what_there_is() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    targets = set(re.findall(r"run: make (\w+)", text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    assert (ROOT / ".ci" / "run").is_file()


def test_versions_in_the_workflow_are_those_that_are_promised() -> None:
    promised = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix is not None
    assert re.findall(r"3\.\d+", matrix[1]) == promised
