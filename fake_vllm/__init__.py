"""A vLLM that misbehaves on request: the patient in every experiment.

It stands alone: it imports neither the laboratory nor the remedy, and runs as a process of its own, as the real one does.
"""

from fake_vllm.app import App, Settings
from fake_vllm.ledger import Entry, Ledger
from fake_vllm.scenarios import Scenario, ScenarioError, catalogue, parse

__all__ = ["App", "Entry", "Ledger", "Scenario", "ScenarioError", "Settings", "catalogue", "parse"]
