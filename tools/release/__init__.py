"""The steps of `make release-check`, and what keeps the versions of three distributions equal."""
