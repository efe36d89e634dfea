"""Sphinx's settings for the book.

The project's folder is the source, so the links of its pages stay as they are.
"""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "stream-deadline"
author = "The authors of stream-deadline"
release = version = import_module("stream_deadline").__version__

root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "notebooks/*.ipynb",
    "gpu/README.md",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = ["docs/slides_90_minutes.md", ".*", "dist", "runs", "**/.ipynb_checkpoints"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "book.docstrings",
    "book.lab_api",
    "book.links",
    "book.prose",
    "book.terms",
]

nb_execution_mode = "off"  # the notebooks are committed executed
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables of claims are outputs in Markdown
nb_custom_formats = {".ipynb": "book.notebooks.read"}
nb_ipywidgets_js: dict[str, str] = {}  # by default MyST-NB loads them from a content network
myst_enable_extensions = ["colon_fence", "tasklist"]
myst_heading_anchors = 4
myst_links_external_new_tab = True

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_default_options = {"exclude-members": "model_post_init"}  # pydantic's
default_role = "code"  # docstrings write code in single backticks
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
add_module_names = False

nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r".*")]  # types of other packages; their indexes are elsewhere

html_theme = "furo"
html_title = "stream-deadline"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = ["meanings.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": [], "navigation_with_keys": True}
highlight_language = "none"  # of a block that names none: commands, files, drawings
pygments_style = "default"
pygments_dark_style = "github-dark"
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
