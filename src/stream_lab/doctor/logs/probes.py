"""Health checks, monitors and files, whose requests hold no stream."""

import re

from stream_lab.doctor.logs.line import Record

AGENTS = re.compile(
    r"(?i)kube-probe|ELB-HealthChecker|GoogleHC|GoogleStackdriverMonitoring|Route53-Health-Check"
    r"|Consul Health Check|Envoy/HC|Edge Health Probe|AlwaysOn|Azure-?Traffic-?Manager"
    r"|Load ?Balancer Agent|HealthCheck|health[ -]?check|Cloudflare-(Healthchecks|Traffic-Manager)"
    r"|DigitalOcean Uptime|UptimeRobot|Better ?(Uptime|Stack)|Pingdom|StatusCake|Site24x7"
    r"|updown\.io|Uptime-Kuma|Blackbox[ -]Exporter|Prometheus/|Zabbix|check_http|Nagios|Datadog"
    r"|NewRelicPinger|HetrixTools|Checkly|HAProxy-?check|Traefik-?health|kubelet"
)
"""Names of programs that check and monitor, from their makers' documentation."""

PATHS = re.compile(
    r"(?i)/(_?_?health(y|z|[_-]?checks?)?|livez|readyz|startupz|liveness|readiness|alive|isalive"
    r"|ping|_?_?heartbeat(__)?|lb[_-]?check|nginx_status|stub_status|server-status|metrics"
    r"|favicon\.ico|robots\.txt)/?"
)
"""The last part of the paths that services keep for such checks."""
FILES = re.compile(
    r"(?i)\.(png|jpe?g|gif|webp|avif|svg|ico|bmp|css|m?js|map|woff2?|ttf|otf|eot|mp[34]|webm|wasm"
    r"|pdf|zip|gz|webmanifest)$"
)
"""Endings of paths that are a file's, as a page loads them."""


def is_probe(record: Record) -> bool:
    """Tell whether a request was a health check or a file's."""
    path = record.path.partition("?")[0]
    return bool(
        AGENTS.search(record.agent)
        or (record.method == "GET" and FILES.search(path))
        or PATHS.fullmatch("/" + path.rstrip("/").rpartition("/")[2])
        or record.method in ("HEAD", "OPTIONS", "PRI")
    )
