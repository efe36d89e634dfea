"""Health checks and monitors, whose requests hold no stream."""

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


def is_probe(record: Record) -> bool:
    """Tell whether a request was a health check, by client, path or method."""
    path = record.path.partition("?")[0]
    return bool(
        AGENTS.search(record.agent)
        or PATHS.fullmatch("/" + path.rstrip("/").rpartition("/")[2])
        or record.method in ("HEAD", "OPTIONS", "PRI")
    )
