import math

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.http.gateway_pages import Product, page
from fake_vllm.response.response import Response
from fake_vllm.response.steps import LOOK, Steps
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Gateway(Scenario):
    """Answers with the error page of a gateway, `after` seconds (0) after the request.

    `product` is nginx, alb, envoy, cloudflare or haproxy; `status` is 502.
    """

    only_delivers = True
    product: Product = "nginx"
    status: int = Field(default=502, ge=400, le=599)
    after: float = Field(default=0.0, ge=0)

    def packets(self, steps: Steps, response: Response) -> Steps:
        until = response.now() + self.after
        # The model works in the meantime, and its answer is dropped.
        while self.after and response.now() < until:
            at, _, tokens = next(steps, (until, b"", 0))
            due = response.now() + LOOK if at == math.inf else at
            yield min(due, until), b"", tokens if due <= until else 0
        steps.close()
        host = response.exchange.headers.get("host", "").rpartition(":")[0]
        made = page(self.product, self.status, host)
        response.status, response.entry.end = self.status, "refused"
        yield response.now(), made.bytes_for(response.exchange), 0
