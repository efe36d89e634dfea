"""The pretended engine: slots and their queue, the clock for tokens, ledger and metrics."""
