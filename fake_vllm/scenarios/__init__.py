"""Every way the fake can behave: one scenario, one file.

`base` says what a scenario can do, `registry` lists them all, `parse` reads them as users write
them, and `trigger` says when one applies. docs/adding_a_fault.md explains how to add one.
"""

from fake_vllm.scenarios.base import Cut, Failure, Scenario, ScenarioError
from fake_vllm.scenarios.parse import ScenarioSpec, parse
from fake_vllm.scenarios.registry import catalogue

__all__ = ["Cut", "Failure", "Scenario", "ScenarioError", "ScenarioSpec", "catalogue", "parse"]
