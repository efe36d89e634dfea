import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.engine.rate_limit import Bucket
from fake_vllm.response.response import Response
from fake_vllm.scenarios.base import STRICT, Failure, Scenario


@dataclass(frozen=True, config=STRICT)
class RateLimit(Scenario):
    """Answers 429 beyond `requests` (10) or `tokens` (0: any) per `per` seconds (60).

    Each key has token buckets; `burst` requests (0: `requests`) may come at once.
    """

    only_delivers = True
    requests: float = Field(10.0, ge=0)
    tokens: float = Field(0.0, ge=0)
    per: float = Field(60.0, gt=0, le=1e9)
    burst: float = Field(0.0, ge=0)

    def before(self, response: Response) -> None:
        now, buckets = response.now(), response.server.buckets
        asked = response.exchange.headers
        client = asked.get("authorization") or asked.get("x-api-key") or asked.get("api-key", "")
        limits: list[tuple[str, float, float, Bucket]] = []  # what, its limit, the units, bucket
        for what, limit, most, units in (
            ("requests", self.requests, self.burst or self.requests, 1.0),
            ("tokens", self.tokens, self.tokens, float(response.cost)),
        ):
            if limit:
                bucket = buckets.get((self, what, client), most, limit / self.per, now)
                limits.append((what, limit, units, bucket))
        waits = {what: bucket.wait(units) for what, _, units, bucket in limits}
        refused = max(waits, key=lambda what: waits[what], default="")
        if refused and waits[refused] > 0:
            raise self._refusal(refused, waits[refused], limits)
        for _, _, units, bucket in limits:
            bucket.left -= units
        response.headers += self._shown(limits)

    def _refusal(
        self, what: str, wait: float, limits: list[tuple[str, float, float, Bucket]]
    ) -> Failure:
        limit, used, asked = next(
            (limit, limit - max(0.0, bucket.left), units)
            for name, limit, units, bucket in limits
            if name == what
        )
        # The words and the two headers of OpenAI; its SDKs prefer the milliseconds.
        message = (
            f"Rate limit reached for {what}: Limit {limit:.10g}, Used {max(0, used):.0f}, "
            f"Requested {asked:.0f}. Please try again in {_duration(wait)}."
        )
        headers = [
            (b"retry-after", b"%d" % math.ceil(wait)),
            (b"retry-after-ms", b"%d" % math.ceil(wait * 1000)),
            *self._shown(limits),
        ]
        failure = Failure(429, what, message, end="refused", headers=headers)
        failure.body["error"]["code"] = "rate_limit_exceeded"
        return failure

    def _shown(self, limits: list[tuple[str, float, float, Bucket]]) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = []
        for what, limit, _, bucket in limits:
            left, full = max(0, math.floor(bucket.left)), bucket.wait(bucket.size)
            for name, value in (
                ("limit", f"{limit:.10g}"),
                ("remaining", str(left)),
                ("reset", _duration(full)),
            ):
                headers.append((f"x-ratelimit-{name}-{what}".encode(), value.encode()))
        return headers


def _duration(seconds: float) -> str:
    """Return a time as Go and OpenAI's headers write it: 20ms, 6.5s, 1m30s, 1h0m0s."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.10g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
