"""Answers that another server made: a real one behind `--upstream`, or a recording of it.

`request` reads what the client wants, `upstream` asks a server, `recorded` plays a file, `recorder`
writes one, `player` sends the answer through the scenarios, and `routes` connects them.
"""
