"""A real nginx in front of a server, with the few lines of its configuration that are the subject."""

from stream_lab.processes.ports import free_port
from stream_lab.processes.proxy import Proxy

CONFIGURATION = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    {http}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {upstream};
            proxy_http_version 1.1;
            {location}
        }}
    }}
}}
"""


class Nginx(Proxy):
    """nginx 1.22 or newer. `url`: where it is. It needs the program, Debian's `nginx-light`."""

    def __init__(self, upstream: str, *location: str, http: tuple[str, ...] = ()) -> None:
        """Start it.

        `upstream`: the server behind it. `location`: lines of configuration for it, as "proxy_buffering off;". None: nginx as it comes.
        `http`: lines for the whole, as "client_header_timeout 1s;".

        Raises:
            MissingPart: nginx is not installed.
            ProcessError: it does not start, for instance because of a line.
        """
        port = free_port()
        lines = CONFIGURATION.format(
            port=port, upstream=upstream, location="\n".join(location), http="\n".join(http)
        )
        super().__init__("nginx", port, lines, ["-p", "{folder}", "-c", "{file}", "-e", "stderr"])
