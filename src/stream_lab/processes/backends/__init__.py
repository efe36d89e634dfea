"""Servers of other projects, vLLM first of all, set up and run on this machine."""

from stream_lab.processes.backends.environments import RealServerError, install
from stream_lab.processes.backends.recipe import Environment, Place, Recipe
from stream_lab.processes.backends.serve import RealServer, real_or_bundled, running, stay
from stream_lab.processes.backends.vllm import VLLM, vllm_with

__all__ = [
    "VLLM", "Environment", "Place", "RealServer", "RealServerError", "Recipe", "install",
    "real_or_bundled", "running", "stay", "vllm_with",
]  # fmt: skip
