"""Everything that is said of a real vLLM, tried on one. `make test-real` starts it; `make test` leaves this folder out."""
