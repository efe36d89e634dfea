"""Fuzz targets, what must hold, and a planted defect that each must find.

`make fuzz` runs them for minutes, `test_fuzz.py` for seconds; docs/fuzz.md has the whole.
"""
