"""Fixtures for the tests of the laboratory."""

from tests.stream_lab.in_process import kept_workers

__all__ = ["kept_workers"]
