class FakeVllmError(RuntimeError):
    """Raised when the server does not start, refuses a command, or a wait fails.

    The text says why.
    """
