"""The laboratory's commands as `python -m stream_lab.cli`, as scripts of old call them."""

from stream_lab.cli import main

main()
