"""The server under test: the bundled fake, or any server that speaks OpenAI's protocol."""

import os
from types import TracebackType
from typing import Any, Self

import httpx2
from pydantic import SecretStr

from stream_lab.errors import LabError
from stream_lab.experiment.fake import Fake
from stream_lab.http.address import NotAnAddress, parts_of, quotable
from stream_lab.http.client import direct_client, reach_this_machine_directly
from stream_lab.http.small_page import SmallPage, SmallPages
from stream_lab.redact import spellings_of, without, without_whole
from stream_lab.untrusted import one_line, read_json

KEY_VARIABLE = "OPENAI_API_KEY"
NO_KEY = "vllm-only-base-model"
WITHIN = 30.0  # seconds for one answer of a server that is tried
LEDGER_WITHIN = 10.0  # seconds for a fake's ledger
LIFETIME = 8 * 3600.0
"""Seconds after which a bundled fake ends in any case; a reader may pause for lunch.

It ends earlier: by `close()`, or with this process.
"""
LONG_ANSWER = 4096
"""Tokens to request where a server does not accept `ignore_eos`."""


class EndpointError(LabError):
    """Raised when a server cannot be used; the text says why and what to do."""


class Endpoint:
    """A server that answered a request for one token.

    Attributes:
        model: the model's name.
        is_fake: whether this is a fake-vllm, which can play scenarios and keeps a ledger.
        shows_metrics: whether it shows vLLM's metrics.
        notes: what a reader should know about this server before believing its results.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        fake: Fake | None = None,
        key_variable: str = KEY_VARIABLE,
    ) -> None:
        """Connect to a server.

        Args:
            base_url: the address, which ends in /v1.
            model: the model's name. None: the server's only model.
            fake: the process behind the address, which `close` stops. None: there is none.
            key_variable: the name of the environment variable that holds the key.

        Raises:
            EndpointError: nothing listens there, the key is missing, wrong or cannot be sent, or
                the model is unknown.
        """
        self._base_url = _checked_url(base_url)
        self._closed = False
        self.notes: list[str] = []
        self._fake = fake
        self._key_variable = key_variable
        self._key = SecretStr(key_of(key_variable) or NO_KEY)
        self._secrets = spellings_of([self._key.get_secret_value()])
        with direct_client(
            timeout=WITHIN, headers={"authorization": f"Bearer {self._key.get_secret_value()}"}
        ) as client:
            pages = SmallPages(client, within=WITHIN)
            self.model = self._choose_model(pages, model)
            extra_body = self._probe(pages)
            self.is_fake = _requests(pages, self.root) is not None
            self.shows_metrics = "vllm:num_requests_running" in _page(pages, f"{self.root}/metrics")
        if not self.shows_metrics:
            self.notes.append(
                "It shows no vLLM metrics, "
                "so a run cannot show whether the server stops generating."
            )
        self._settings: dict[str, Any] = {
            "model": self.model,
            "base_url": self.base_url,
            "api_key": self._key,
            "extra_body": extra_body,
            **({} if extra_body else {"max_tokens": LONG_ANSWER}),
        }

    @property
    def base_url(self) -> str:
        """Return the address, which ends in /v1.

        Raises:
            EndpointError: `close` has stopped the server.
        """
        if self._closed:
            raise EndpointError(
                "This server has been closed. In a notebook, restart the kernel and run the cells "
                "from the top."
            )
        return self._base_url

    @property
    def settings(self) -> dict[str, Any]:
        """Return the arguments that every model in the notebooks is made with.

        They are the address, the name, the key, and `ignore_eos` as in the incident, sent through
        `extra_body`. A server that refuses `ignore_eos` gets a large `max_tokens` instead.

        Raises:
            EndpointError: `close` has stopped the server.
        """
        return {**self._settings, "base_url": self.base_url}

    @property
    def root(self) -> str:
        """Return the server's address without /v1, where /metrics is."""
        return self.base_url.removesuffix("/v1")

    def __repr__(self) -> str:
        kind = "a fake vLLM" if self.is_fake else "a real server"
        return "\n".join([f"{kind}, model '{one_line(self.hide(self.model))}'", *self.notes])

    def hide(self, text: str) -> str:
        """Return text without this server's key, which the server may repeat anywhere."""
        return without_whole(text, self._secrets)

    def ledger(self) -> list[dict[str, Any]]:
        """Return the ledger of a fake: what it noted for each request, oldest first.

        An entry has the times `started` and `client_left`, the number of `tokens`, and more.

        Raises:
            EndpointError: the server shows none.
        """
        # A fake with a key shows its ledger only to those who have it.
        key = {"authorization": f"Bearer {self._key.get_secret_value()}"}
        with direct_client(timeout=LEDGER_WITHIN, headers=key) as client:
            requests = _requests(SmallPages(client, within=LEDGER_WITHIN), self.root)
        if requests is None:
            raise EndpointError(f"{self.root} shows no ledger; is it still the fake?")
        return requests

    def close(self) -> None:
        """Stop the server if it was started for this endpoint.

        Another server goes on, and can still be used.
        """
        if self._fake is not None:
            self._closed = True
            self._fake.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _choose_model(self, pages: SmallPages, model: str | None) -> str:
        answer = self._ask(pages, "GET", "/models")
        if answer.status in (401, 403):
            raise EndpointError(
                f"{self.base_url} requires a key; set {self._key_variable} in the environment."
            )
        if answer.status == 404:
            raise EndpointError(f"{self.base_url} has no /models; should the address end in /v1?")
        try:
            return chosen_model(answer, model, self.base_url)
        except EndpointError as error:
            raise EndpointError(without(str(error), self._secrets)) from None

    def _probe(self, pages: SmallPages) -> dict[str, Any]:
        """Request one token, first with `ignore_eos`; return the extra body that works."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 1,
        }
        # The bundled fake may play a scenario that never answers.
        extra = {"ignore_eos": True}
        answer = self._ask(
            pages, "POST", "/chat/completions", {**body, **extra, "fake_scenario": "finite"}
        )
        if answer.status in (400, 422):
            extra = {}
            answer = self._ask(pages, "POST", "/chat/completions", body)
            self.notes.append(
                f"It refuses ignore_eos; calls ask for up to {LONG_ANSWER} tokens instead, "
                "and the model may stop by itself before that."
            )
        if answer.status != 200:
            said = without(one_line(answer.text), self._secrets)
            raise EndpointError(
                f"{self.base_url} answered {answer.status} to a request for one token: {said}"
            )
        return extra

    def _ask(
        self, pages: SmallPages, method: str, path: str, body: dict[str, Any] | None = None
    ) -> SmallPage:
        try:
            return pages.ask(method, self.base_url + path, body)
        except httpx2.TimeoutException:
            raise EndpointError(
                f"{self.base_url} did not answer within {WITHIN:g} s; "
                "is the server still loading its model?"
            ) from None
        except httpx2.HTTPError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise EndpointError(
                    f"This machine does not trust the certificate of {self.base_url}; "
                    "if it is yours, name its authority with SSL_CERT_FILE=/path/to/ca.pem."
                ) from None
            raise EndpointError(
                f"No server answers at {self.base_url} ({type(error).__name__}); "
                "start it, or correct BASE_URL."
            ) from None


def open_endpoint(base_url: str | None = None, model: str | None = None) -> Endpoint:
    """Open the server that a notebook works with.

    Args:
        base_url: the address, which ends in /v1. None: start the bundled fake, which is endless, at
            twelve tokens a second.
        model: the model's name. None: the server's only model.

    Raises:
        EndpointError: the server at `base_url` cannot be used.
    """
    if base_url is not None:
        reach_this_machine_directly()
        return Endpoint(base_url, model)
    return bundled("endless", model=model)


def bundled(
    scenario: str, *, gap: float = 0.085, model: str | None = None, **flags: object
) -> Endpoint:
    """Start the bundled fake with a scenario.

    Args:
        scenario: the scenario, as `--scenario` takes it.
        gap: seconds between tokens.
        model: the model's name. None: the fake's usual one.
        flags: further options of the fake.
    """
    reach_this_machine_directly()
    options: dict[str, Any] = {"lifetime": LIFETIME, **({"model": model} if model else {}), **flags}
    fake = Fake(scenario, gap=gap, **options)
    try:
        return Endpoint(fake.base_url, fake.model, fake=fake)
    except BaseException:
        fake.close()
        raise


def key_of(variable: str = KEY_VARIABLE) -> str:
    """Return the key in a variable of the environment, without white space around it.

    Empty: there is none.

    Raises:
        EndpointError: a header cannot hold the key; the text does not repeat it.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EndpointError(
            f"The key in {variable} has a control character or one that is not ASCII; "
            "set the variable to the key alone."
        )
    return key


def chosen_model(answer: SmallPage, wanted: str | None, base_url: str) -> str:
    """Return the model to use: the wanted one, or the server's only one.

    Args:
        answer: the server's answer to /models.
        wanted: the reader's choice. None: there is none.
        base_url: the server's address, for the error.

    Raises:
        EndpointError: the server does not have the wanted model, or not exactly one model.
    """
    try:
        names = (
            [str(card["id"]) for card in read_json(answer.text)["data"]]
            if answer.status == 200
            else []
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        names = []
    shown = ", ".join(one_line(name, 80) for name in names[:10])
    listed = f"it serves: {shown}" if names else "it lists none"
    if wanted is None and len(names) != 1:
        raise EndpointError(
            f"{base_url} does not serve exactly one model; "
            f"name yours with --model, or MODEL=… ({listed})."
        )
    if wanted is not None and names and wanted not in names:
        raise EndpointError(f"{base_url} has no model '{wanted}'; {listed}.")
    return wanted if wanted is not None else names[0]


def _checked_url(url: str) -> str:
    try:
        parts = parts_of(url)
    except NotAnAddress:
        shown = quotable(url)
        raise EndpointError(
            f"BASE_URL is '{shown}', but it should look like http://host:8000/v1."
        ) from None
    if parts.username or parts.password or parts.query:
        raise EndpointError(
            f"BASE_URL must not hold a password or a query; give the key in {KEY_VARIABLE}."
        )
    return url.rstrip("/")


def _requests(pages: SmallPages, root: str) -> list[dict[str, Any]] | None:
    """Return the entries of a fake's ledger; None: the server has none.

    A server that answers every path with a page is no fake.
    """
    try:
        found = read_json(_page(pages, f"{root}/ledger"))["requests"]
    except (ValueError, KeyError, TypeError):
        return None
    is_ledger = isinstance(found, list) and all(isinstance(entry, dict) for entry in found)
    return found if is_ledger else None


def _page(pages: SmallPages, url: str) -> str:
    """Return the text of a page. Empty: there is none."""
    try:
        answer = pages.get(url)
    except httpx2.HTTPError:
        return ""
    return answer.text if answer.status == 200 else ""
