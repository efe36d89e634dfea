"""The laboratory: what the notebooks and the command line call.

`stream_lab.story` holds the incident's attempts, `stream_lab.plots` the pictures, `stream_lab.scope` the observed `asyncio.timeout`;
they are imported by name, since LangChain and Matplotlib take their time.
"""

from stream_lab.call import Call, observe
from stream_lab.endpoint import Endpoint, EndpointError, bundled, open_endpoint
from stream_lab.evidence import Evidence
from stream_lab.trace import Recording, TaskNumbers, record, record_sync, traced

__all__ = [
    "Call", "Endpoint", "EndpointError", "Evidence", "Recording", "TaskNumbers",
    "bundled", "observe", "open_endpoint", "record", "record_sync", "traced",
]  # fmt: skip
