"""Sphinx's settings for the slides, a build of its own from one page."""

import json

project = "A deadline that holds"
author = "The authors of stream-deadline"
extensions = ["myst_parser", "sphinx_revealjs"]
root_doc = "slides_90_minutes"
include_patterns = ["slides_90_minutes.md"]
exclude_patterns = ["api", "ci", "howto", "tours"]
html_copy_source = False
html_static_path = ["static"]
revealjs_static_path = html_static_path
revealjs_css_files = ["revealjs/plugin/highlight/monokai.css", "slides.css"]
revealjs_style_theme = "white"
revealjs_notes_from_comments = True  # lines that begin with %
revealjs_script_plugins = [
    {"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"},
    {"name": "RevealHighlight", "src": "revealjs/plugin/highlight/highlight.js"},
]
revealjs_script_conf = json.dumps(
    {"hash": True, "slideNumber": "c/t", "width": 1100, "height": 700, "transition": "none"}
)
