"""The server between your callers and a vLLM."""
