"""Logs: which lines show what ended a stream, and what they add to a diagnosis.

A line passes through four steps, each with its own modules:

- reading: `lines` joins tracebacks to their lines; `prefixes` and `times` remove what a container's
  runtime or a journal wrote in front; `formats` and `keyed` make a `Record` with fields;
- knowing: one module for each product (`nginx`, `apache`, `haproxy`, `envoy`, `go_proxies`,
  `load_balancers`, `gunicorn`, `application`) has its wording as data; `tables` joins them, and
  `access` has what a status means by itself;
- leaving out: `probes` recognises health checks;
- weighing: `weigh` decides which lines are about the doctor's own streams.
"""

from stream_lab.doctor.logs.line import Line, Who, Worker
from stream_lab.doctor.logs.lines import lines_of
from stream_lab.doctor.logs.weigh import consider

__all__ = ["Line", "Who", "Worker", "consider", "lines_of"]
