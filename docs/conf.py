"""How the site is built: `make docs`, or `sphinx-build -W docs build/site`."""

from __future__ import annotations

import hashlib
import inspect
import re
from pathlib import Path
from typing import Any

import fiberscope

project = "fiberscope"
author = "fiberscope maintainers"
copyright = "fiberscope maintainers, Apache License 2.0"
version = release = fiberscope.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["paper.md"]  # in the form of a journal
suppress_warnings = ["config.cache"]  # extensions below hold functions, which are not kept from build to build

# The markdown is what it is on the repository's own pages: headings have the same anchors.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3


def digest_of_the_package() -> str:
    """Of all that notebooks import: when it changes, they are run again."""
    sources = sorted((Path(__file__).parent.parent / "src").rglob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


# Notebooks are run while the site is built. What they gave is kept until they, or the package, change.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parent.parent / "build" / "notebooks" / digest_of_the_package())
nb_execution_timeout = 600  # of one cell, on a machine that does other things; the tutorials take seconds
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"  # docstrings give shapes and units, which types do not
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False  # as for arguments
autosummary_generate = False

html_theme = "pydata_sphinx_theme"
html_title = "fiberscope"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["fiberscope.css"]
html_show_sourcelink = html_copy_source = False
_WITHOUT_PAGES_BELOW = ("index", "start", "gallery", "questions", "theory", "findings")
html_sidebars = {page: [] for page in _WITHOUT_PAGES_BELOW}
html_theme_options = {
    "logo": {"text": "fiberscope"},
    "github_url": "https://github.com/fiberscope/fiberscope",
    "header_links_before_dropdown": 8,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True


def without_fields(app: Any, what: str, name: str, thing: Any, *rest: Any) -> tuple[str, None] | None:
    """Users do not make results: a page shows what one holds, not the call that makes it."""
    made_by_users = "Args:" in (inspect.getdoc(thing) or "")
    return ("", None) if what in ("class", "exception") and not made_by_users else None


def as_plain_text(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Outside ``literals``, docstrings are plain text: a star or a bar in them is meant."""
    parts = re.split(r"(``.*?``)", "\n".join(lines), flags=re.DOTALL)
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    parts[1::2] = [part.replace("...", "…") for part in parts[1::2]]  # a full stop there ends no summary
    lines[:] = "".join(parts).split("\n")


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", as_plain_text, priority=100)  # before sections are read
    app.connect("autodoc-process-signature", without_fields)
