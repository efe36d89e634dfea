"""Servers that others wrote, set up and run on this machine: vLLM itself first of all."""

from stream_lab.real.environments import RealServerError, install
from stream_lab.real.recipe import Environment, Place, Recipe
from stream_lab.real.serve import RealServer, real_or_bundled, running, stay
from stream_lab.real.vllm import VLLM, vllm_with

__all__ = [
    "VLLM", "Environment", "Place", "RealServer", "RealServerError", "Recipe", "install", "real_or_bundled", "running", "stay", "vllm_with",
]  # fmt: skip
