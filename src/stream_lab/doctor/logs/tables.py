"""Which product's rules apply to a record, and what they say of it."""

import re

from stream_lab.doctor.logs import (
    access,
    apache,
    application,
    envoy,
    go_proxies,
    gunicorn,
    haproxy,
    nginx,
    tracebacks,
)
from stream_lab.doctor.logs.line import Record, Rule

_SERVERS = (*gunicorn.RULES, *application.RULES)
TABLES: dict[str, tuple[Rule, ...]] = {
    "nginx": nginx.RULES,
    "apache": apache.RULES,
    "haproxy": haproxy.RULES,
    "envoy": envoy.RULES,
    "traefik": go_proxies.RULES,
    "caddy": go_proxies.RULES,
    "": (*_SERVERS, *haproxy.RULES, *envoy.RULES),
}
"""The rules for a product's words. Others are servers of applications."""
_GO = re.compile(r"caused by: |ReverseProxy|[Tt]raefik|[Cc]addy|http\.(log|handlers)\b|level=\w+ ")
_NGINX = re.compile(r"upstream|client (prematurely )?closed")


def rule_of(record: Record) -> Rule | None:
    """Return the rule that a record matches. None: no stream ended."""
    if record.status is not None:
        found = access.meaning_of(record)
        if found is not None or not record.message:
            return found
    if record.flags and record.product in access.CODES:
        return access.meaning_of(record)
    shown = tracebacks.judge(record.traceback) if record.traceback else None
    return shown or _by_words(record)


def _by_words(record: Record) -> Rule | None:
    rules = TABLES.get(record.product, _SERVERS)
    if not record.product:
        if _GO.search(record.message):
            rules = (*go_proxies.RULES, *rules)
        elif _NGINX.search(record.message):
            rules = (*rules, *nginx.RULES)
    for rule in rules:
        if rule.regex.search(record.message):
            return rule if rule.meaning else None
    return None
