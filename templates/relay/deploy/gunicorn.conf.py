"""gunicorn -c deploy/gunicorn.conf.py. Every limit here follows from MAX_TIMEOUT; a bad environment ends it before it listens."""

import os
from pathlib import Path

from uvicorn_worker import UvicornWorker

from relay.settings import Settings

settings = Settings.from_environment()

wsgi_app = "relay.app:from_environment()"
worker_class = "uvicorn_worker.UvicornWorker"
UvicornWorker.CONFIG_KWARGS["ws_max_size"] = settings.max_body_bytes  # messages of a WebSocket; it has no other place for this
bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# Seconds that the answers which are being made have when the server is told to stop: all that they may take, and time to end.
graceful_timeout = int(settings.max_timeout) + 10

# For asynchronous workers this is a heartbeat and does not bound a request: it ends a worker whose event loop stands still. But a
# worker that finishes its answers after a HUP has no heartbeat any more, and gunicorn 23 then cuts them; newer ones wait.
timeout = graceful_timeout

# Longer than nginx keeps its connections (keepalive_timeout there), so that it never sends a request into one that is being closed.
keepalive = 75

# The heartbeat is a file; in a container /tmp may be a disk that makes it wait.
if Path("/dev/shm").is_dir():
    worker_tmp_dir = "/dev/shm"

accesslog = "-"
control_socket_disable = True  # gunicorn's own socket for commands would lie in a home folder, which a container does not have
