"""`stream-lab`: the laboratory's commands, one file each; `main` is the program."""

from stream_lab.cli.app import app, main

__all__ = ["app", "main"]
