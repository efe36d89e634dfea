"""The server between your clients and a vLLM."""
