"""Every way the fake can behave: one scenario, one file."""

from fake_vllm.scenarios.base import Call, Cut, Failure, Scenario, ScenarioError
from fake_vllm.scenarios.read import Lineup, catalogue, parse

__all__ = ["Call", "Cut", "Failure", "Lineup", "Scenario", "ScenarioError", "catalogue", "parse"]
