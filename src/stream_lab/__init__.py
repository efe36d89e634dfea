"""The laboratory, which the notebooks and the command line use.

The names that every notebook uses are here. `stream_lab.experiment.story` has the incident's
attempts and `stream_lab.experiment.pictures` the pictures; import both by name, since LangChain and
Matplotlib take long to load.
"""

from stream_lab.experiment import gpu, nesting, scope, verdict
from stream_lab.experiment.call import Call, observe
from stream_lab.experiment.endpoint import Endpoint, EndpointError, bundled, open_endpoint
from stream_lab.experiment.evidence import Evidence
from stream_lab.experiment.trace import Recording, TaskNumbers, record, record_sync, traced

__version__ = "0.1.0"

__all__ = [
    "Call", "Endpoint", "EndpointError", "Evidence", "Recording", "TaskNumbers",
    "bundled", "gpu", "nesting", "observe", "open_endpoint", "record", "record_sync", "scope",
    "traced", "verdict",
]  # fmt: skip
