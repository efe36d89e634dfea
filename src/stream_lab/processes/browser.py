"""The system's Chromium, driven by Playwright."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from stream_lab.extras import require
from stream_lab.processes.programs import find

if TYPE_CHECKING:  # Playwright is an extra, and every program of this package imports this module
    from playwright.sync_api import Page


class Browser:
    """A headless Chromium.

    Playwright's synchronous interface needs a thread without a running loop; from a notebook, use
    `to_thread`.
    """

    def __init__(self) -> None:
        """Start the browser.

        Raises:
            MissingPart: Chromium is not installed.
            MissingExtra: Playwright is not installed.
        """
        require("playwright", extra="relay")
        from playwright.sync_api import sync_playwright

        program = find("chromium")
        self._playwright = sync_playwright().start()
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=program, args=["--no-sandbox"]
            )
        except BaseException:
            self._playwright.stop()
            raise

    def page(self, url: str, **options: Any) -> "Page":
        """Open a page in its own context.

        Args:
            url: the address of the page.
            options: options of the context, for example `color_scheme="dark"`.
        """
        page = self._browser.new_context(**options).new_page()
        page.goto(url)
        return page

    def close(self) -> None:
        self._browser.close()
        self._playwright.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
