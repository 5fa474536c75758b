"""Sphinx configuration: `make docs` builds the site, `make lint` checks every link in it."""

from __future__ import annotations

import tomllib
from pathlib import Path

_PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))["project"]

project = "QENEX"
author = "QENEX contributors"
copyright = "QENEX contributors"
version = release = _PROJECT["version"]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"QENEX {version}"
# The site is readable offline: no font, script or counter from elsewhere.
html_show_sourcelink = False
