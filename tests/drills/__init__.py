"""Fault drills: a fault, a call of each style, and what is left of both."""
