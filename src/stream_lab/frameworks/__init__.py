"""Who stops a babbling model: frameworks, their own time-outs, and this library beside them.

`registry.yaml` lists the frameworks, and `players/` has a short program for each. To add a
framework, add one entry and one player.
"""
