"""The pretended engine: slots and their queue, the clock that paces tokens, the ledger and the metrics."""
