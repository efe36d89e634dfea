"""What a caller catches."""


class StreamDeadlineExceeded(TimeoutError):
    """Raised when a stream is still going after its deadline.

    Attributes:
        limit: the bound that was set, in seconds.
        elapsed: how long the call had taken when it was stopped, in seconds.
        chunks: how many chunks had been handed over by then.
    """

    def __init__(self, limit: float, elapsed: float, chunks: int) -> None:
        super().__init__(limit, elapsed, chunks)
        self.limit = limit
        self.elapsed = elapsed
        self.chunks = chunks

    def __str__(self) -> str:
        return (
            f"The stream was still going after {self.elapsed:.2f} s and {self.chunks} chunks; timeout={self.limit:g} s bounds the "
            "whole call. Raise `timeout` (or `stream_timeout`) if the answer needs longer."
        )
