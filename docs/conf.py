"""How Sphinx builds these pages: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

_init = Path(__file__).parents[1] / "src" / "nucleate" / "__init__.py"
_version = re.search(r'__version__ = "([^"]+)"', _init.read_text(encoding="utf-8"))

project = "nucleate"
author = "The nucleate developers"
copyright = "The nucleate developers"
version = release = _version[1] if _version else ""

extensions = ["myst_parser"]
exclude_patterns = ["_build", "README.md"]  # index.rst takes README.md in and adds the contents
myst_heading_anchors = 4
# CONTRIBUTING.md lies above this folder: a link where the project is hosted, plain text here. A test checks links.
suppress_warnings = ["myst.xref_missing"]
html_theme = "furo"
html_title = f"nucleate {release}"
html_show_sourcelink = False
