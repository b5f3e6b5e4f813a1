"""The site of these pages: `make docs` builds it into build/docs, with every warning an error."""

from importlib.metadata import version as installed

project = "Alidade"
author = "the Alidade developers"
copyright = "2026, the Alidade developers"
release = version = installed("alidade")

autosummary_generate = True
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
templates_path = ["_templates"]
autodoc_typehints = "description"
autodoc_default_options = {"exclude-members": "model_config"}
napoleon_google_docstring = False
napoleon_use_ivar = True
exclude_patterns = ["_templates"]
html_theme = "furo"
html_title = "Alidade"
