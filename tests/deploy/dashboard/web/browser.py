"""People at browsers: each with a profile of its own, watched for what it asks and what it says."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

PASSWORD = "six words drawn by some dice"  # noqa: S105
WITHIN_MS = 30_000


class SignIn:
    """Opens browsers, and keeps what each asked for."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self.url = url
        self._contexts: list[BrowserContext] = []
        self.asked: list[str] = []
        self.said: list[str] = []

    def __call__(self, name: str | None = "rosa", path: str = "/worklist", **more: Any) -> Page:
        context = self._browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **more})
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WITHIN_MS)
        page.on("request", lambda request: self.asked.append(request.url))
        page.on(
            "console",
            lambda line: self.said.append(line.text) if line.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.goto(f"{self.url}{path}")
        if name is not None:
            page.fill("#name", name)
            page.fill("#password", PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_selector('#live[data-state="on"]')  # before that, no key does anything
        return page

    def foreign(self) -> set[str]:
        """Addresses that were asked and are not this server's."""
        own = urlsplit(self.url).netloc
        return {
            url
            for url in self.asked
            if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != own
        }

    def close(self) -> None:
        for context in self._contexts:
            context.close()
