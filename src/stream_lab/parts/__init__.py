"""The parts of a real service, each started for a notebook or a test: nginx, HAProxy, gunicorn, uvicorn, Chromium; and a gateway's stand-in."""

from stream_lab.parts.browser import Browser
from stream_lab.parts.gateway import Gateway
from stream_lab.parts.gunicorn import Gunicorn
from stream_lab.parts.haproxy import Haproxy
from stream_lab.parts.nginx import Nginx
from stream_lab.parts.serving import Serving, serve
from stream_lab.programs import MissingPart

__all__ = ["Browser", "Gateway", "Gunicorn", "Haproxy", "MissingPart", "Nginx", "Serving", "serve"]
