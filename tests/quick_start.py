"""Loaded before pytest's plugins, so that they load faster.

nbval imports jsonschema, which for one format that no schema of ours has compiles a grammar for a
second and a half, in each process that runs tests. It does without where the package is not there.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
