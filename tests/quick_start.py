"""Loaded before pytest's plugins, so that the tests start and run faster.

nbval imports jsonschema, which for one format that no schema of ours has compiles a grammar for a
second and a half, in each process that runs tests. It does without where the package is not there.

The garbage collector looks at every object again and again: while the tests are imported it would
find nothing, and later it need not look at what was imported, which no test can lose.
"""

import gc
import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
gc.disable()


def pytest_collection_finish() -> None:
    """Let the garbage collector work on what the tests make, and on nothing older."""
    gc.enable()
    gc.freeze()
