"""The experiment: a server under test, the story's attempts, the witnesses of a call, and what a call proves."""
