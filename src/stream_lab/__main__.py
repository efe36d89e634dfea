"""The laboratory's commands as a module: `python -m stream_lab`."""

from stream_lab.cli import main

main()
