"""Configuration of the documentation site; ``make docs`` builds it without network access."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from skattrec import __version__
from skattrec.datasets import get_data_home

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "skattrec"
author = "The skattrec developers"
copyright = "The skattrec developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "markdown_page",
]
exclude_patterns = ["_build", "**/*.inc", "auto_examples/**/*.ipynb"]
templates_path = ["_templates"]
default_role = "literal"

# numpydoc describes parameters with their types; signatures stay readable without them
autodoc_typehints = "none"
autosummary_generate = True
numpydoc_show_class_members = False  # the class template lists them

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# An example on real data runs where the data lies already; a build downloads nothing.
_has_movielens = (get_data_home() / "ml-100k" / "u.data").exists()

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_" if _has_movielens else r"/plot_(?!movielens)",
    "doc_module": ("skattrec",),
    "backreferences_dir": "api/generated/backreferences",
    "reset_modules": ("matplotlib",),
    "show_memory": False,
    "download_all_examples": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skattrec"
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def _skip_foreign(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what others wrote: scikit-learn's methods, whose links lead nowhere here, and
    the fields of named tuples, which say nothing.
    """
    owner = getattr(obj, "__module__", None) or getattr(obj, "__objclass__", object).__module__
    inherited = what == "class" and not owner.startswith("skattrec") and callable(obj)
    tuple_field = (obj.__doc__ or "").startswith("Alias for field number")
    return True if inherited or tuple_field else None


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", _skip_foreign)
