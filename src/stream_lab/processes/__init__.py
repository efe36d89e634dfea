"""The parts of a real service, started for a notebook or a test."""

from stream_lab.processes.browser import Browser
from stream_lab.processes.gateway import Gateway
from stream_lab.processes.gunicorn import Gunicorn
from stream_lab.processes.haproxy import Haproxy
from stream_lab.processes.nginx import Nginx
from stream_lab.processes.programs import MissingPart
from stream_lab.processes.serving import Serving, serve

__all__ = ["Browser", "Gateway", "Gunicorn", "Haproxy", "MissingPart", "Nginx", "Serving", "serve"]
