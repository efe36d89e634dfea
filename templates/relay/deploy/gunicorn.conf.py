"""gunicorn's settings: `gunicorn -c deploy/gunicorn.conf.py`.

Every limit here follows from MAX_TIMEOUT. A wrong environment ends gunicorn before it listens.
"""

import os
from pathlib import Path

from uvicorn_worker import UvicornWorker

from relay.settings import Settings

settings = Settings.from_environment()

wsgi_app = "relay.app:from_environment()"
worker_class = "uvicorn_worker.UvicornWorker"
# The size of a WebSocket's messages, which gunicorn can set only here.
UvicornWorker.CONFIG_KWARGS["ws_max_size"] = settings.max_body_bytes
bind = "0.0.0.0:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# Seconds for running answers after the order to stop: the longest answer, and time to end it.
graceful_timeout = int(settings.max_timeout) + 10

# For asynchronous workers this is a heartbeat and no bound on a request: it ends a worker whose
# event loop stands still. A worker that finishes its answers after a HUP has no heartbeat, and
# gunicorn 23 then cuts the answers; newer versions wait.
timeout = graceful_timeout

# Longer than nginx keeps its connections (keepalive_timeout there), so that nginx never sends a
# request over a connection that is being closed.
keepalive = 75

# The heartbeat is a file; in a container, /tmp may be on a slow disk.
if Path("/dev/shm").is_dir():
    worker_tmp_dir = "/dev/shm"

accesslog = "-"
# gunicorn's socket for commands would be in a home folder, which a container does not have.
control_socket_disable = True
