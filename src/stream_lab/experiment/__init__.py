"""The experiment: a server under test, the story's attempts, witnesses of a call, verdicts."""
