"""`stream-lab`: the laboratory's commands, one file each; `app` has them all, and `main` is the program."""

from stream_lab.cli.app import app, main

__all__ = ["app", "main"]
