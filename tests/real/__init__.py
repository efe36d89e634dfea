"""Tests against a real vLLM, which `make test-real` starts and `make test` leaves out."""
