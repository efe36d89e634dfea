"""The laboratory, which the notebooks and the command line use.

The names that every notebook uses are here. `stream_lab.experiment.story` has the incident's
attempts and `stream_lab.experiment.pictures` the pictures; import both by name, since LangChain and
Matplotlib take long to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_lab.course.lesson import Lesson
    from stream_lab.experiment import gpu, nesting, scope, verdict
    from stream_lab.experiment.call import Call, observe
    from stream_lab.experiment.endpoint import Endpoint, EndpointError, bundled, open_endpoint
    from stream_lab.experiment.evidence import Evidence
    from stream_lab.experiment.trace import Recording, TaskNumbers, record, record_sync, traced

__version__ = "0.1.0"

__all__ = [
    "Call", "Endpoint", "EndpointError", "Evidence", "Lesson", "Recording", "TaskNumbers",
    "bundled", "gpu", "nesting", "observe", "open_endpoint", "record", "record_sync", "scope",
    "traced", "verdict",
]  # fmt: skip

_HOMES = {
    "course.lesson": "Lesson",
    "experiment.call": "Call observe",
    "experiment.endpoint": "Endpoint EndpointError bundled open_endpoint",
    "experiment.evidence": "Evidence",
    "experiment.trace": "Recording TaskNumbers record record_sync traced",
    "experiment.gpu": "gpu",
    "experiment.nesting": "nesting",
    "experiment.scope": "scope",
    "experiment.verdict": "verdict",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used; a command needs few of them."""
    for home, names in _HOMES.items():
        if name in names.split():
            module = import_module(f"{__name__}.{home}")
            own = name == home.rpartition(".")[2]
            globals()[name] = found = module if own else getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
