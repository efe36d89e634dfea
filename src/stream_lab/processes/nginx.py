"""A real nginx in front of a server, configured by a few lines."""

from stream_lab.processes.ports import free_port
from stream_lab.processes.proxy import Proxy

CONFIGURATION = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr info;
events {{ worker_connections 512; }}
http {{
    log_format brief '$request_method $request_uri $status';
    access_log access.log brief;
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
    """nginx 1.22 or newer, from Debian's `nginx-light`, with its address in `url`."""

    def __init__(self, upstream: str, *location: str, http: tuple[str, ...] = ()) -> None:
        """Start nginx.

        Args:
            upstream: the address of the server behind it.
            location: lines for the location, like "proxy_buffering off;". None given: the defaults.
            http: lines for the section `http`, like "client_header_timeout 1s;".

        Raises:
            MissingPart: nginx is not installed.
            ProcessError: nginx does not start, for instance because of a wrong line.
        """
        port = free_port()
        lines = CONFIGURATION.format(
            port=port, upstream=upstream, location="\n".join(location), http="\n".join(http)
        )
        super().__init__("nginx", port, lines, ["-p", "{folder}", "-c", "{file}", "-e", "stderr"])

    @property
    def access_log(self) -> list[str]:
        """Return the lines of its access log: method, path and status of each request."""
        return (self.folder / "access.log").read_text(encoding="utf-8").splitlines()
