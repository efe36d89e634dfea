"""How the book is built: `conf.py` for Sphinx, and what it adds to Sphinx."""
