"""Sphinx configuration. ``make docs`` builds the site into ``docs/_build/html``, without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from klap_provider import __version__

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Klap for Apache Airflow"
copyright = "The authors of airflow-provider-klap"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "generated"]
exclude_patterns = ["_build", "_ext", "_static"]
language = "en"

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4
# "…" stands for what the reader fills in, also in Python examples; Pygments has no lexer for CSV.
suppress_warnings = ["misc.highlighting_failure"]

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_use_type_comments = False
python_maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"Klap for Apache Airflow {__version__}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_show_sourcelink = False
pygments_style = "default"
pygments_dark_style = "monokai"


def without_return_type(app: Sphinx, domain: str, kind: str, content: Element) -> None:
    """Remove the return type of a constructor: ``:return:`` of an operator is what its task returns."""
    for field in [each for each in content.findall() if each.tagname == "field"]:
        if kind == "class" and field[0].astext() == "rtype":
            field.parent.remove(field)


def setup(app: Sphinx) -> None:
    """Connect the function above, after autodoc has added the types."""
    app.connect("object-description-transform", without_return_type, priority=900)
