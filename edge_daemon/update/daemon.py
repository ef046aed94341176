"""The running daemon, as the updater sees it: what it uses, and the two commands it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.errors import UpdateError
from edge_daemon.service.local_client import ANSWER_WITHIN_S, ask

WHO = "updater"
"""In the audit of commands."""


@dataclass(frozen=True)
class DaemonState:
    """What the daemon says of itself."""

    boot_id: str
    name: str
    """Of the bundle in use."""
    version: str
    digest: str
    fault: str | None
    """What became of the last bundle that was tried, where it is not in use."""
    slide: str | None
    """Under way now."""
    daemon: str | None = None
    """Version of the daemon; None where it is too old to say."""
    shadow: str | None = None
    """Name and version of the candidate that looks on."""
    shadow_fault: str | None = None
    """Why the last one that should look on does not."""

    @property
    def label(self) -> str:
        """Name and version of the bundle in use."""
        return f"{self.name}-{self.version}"


class LocalDaemon:
    """Asked over its local socket, as anybody on this machine may ask it."""

    def __init__(self, socket: Path, within_s: float = ANSWER_WITHIN_S) -> None:
        self._socket, self._within_s = socket, within_s

    def state(self) -> DaemonState:
        """What it uses and does now.

        Raises:
            ServiceError: no daemon answers.
            UpdateError: it has no time, or does not take the question.
        """
        reply = self._ask("status", {})
        if reply["ok"] is not True:
            raise UpdateError(f"the daemon does not say how it is: {reply['reason']}")
        result = reply["result"]
        try:
            bundle, idle = result["bundle"], result["activity"] == "idle"
            slide = None if idle else str((result.get("slide") or {}).get("slide") or "a slide")
            return DaemonState(
                reply["boot_id"],
                bundle["name"],
                bundle["version"],
                reply["bundle"],
                bundle["fault"],
                slide,
                result.get("daemon"),
                (result.get("shadow") or {}).get("bundle"),
                result.get("shadow_fault"),
            )
        except (KeyError, TypeError):
            raise UpdateError(
                "the daemon that runs is older than this updater: restart it "
                "(systemctl restart leuko-edge)"
            ) from None

    def stage(self, folder: Path) -> None:
        """Have it copy a bundle into its store.

        Raises:
            ServiceError, UpdateError: it did not; the reason.
        """
        reply = self._ask("bundle-stage", {"path": str(folder)})
        if reply["ok"] is not True:
            raise UpdateError(f"the daemon does not stage it: {reply['reason']}")

    def activate(self, label: str, command: str) -> str | None:
        """Have it try a staged bundle, and use it when it is proven.

        Args:
            label: name and version.
            command: id; a repeat is answered again, and not done again.

        Returns:
            Why it does not use it; None when it does.

        Raises:
            ServiceError, UpdateError: it has not said what became of it.
        """
        reply = self._ask("bundle-activate", {"bundle": label}, command)
        return None if reply["ok"] is True else str(reply["reason"])

    def look_on(self, label: str | None, command: str) -> str | None:
        """Have a staged bundle look on as a candidate, or none.

        Args:
            label: name and version; None ends it.
            command: id; a repeat is answered again, and not done again.

        Returns:
            Why it does not look on; None when it does.

        Raises:
            ServiceError, UpdateError: it has not said what became of it.
        """
        reply = self._ask("bundle-shadow", {"bundle": label}, command)
        return None if reply["ok"] is True else str(reply["reason"])

    def _ask(self, name: str, args: dict[str, Any], identity: str | None = None) -> dict[str, Any]:
        request = {"command": name, "args": args, "operator": WHO}
        reply = ask(
            self._socket,
            request if identity is None else {**request, "id": identity},
            self._within_s,
        )
        if "error" in reply:
            raise UpdateError(f"the daemon: {reply['error']}")
        if not {"ok", "reason", "result", "boot_id", "bundle"} <= set(reply):
            raise UpdateError(f"what listens at {self._socket} is no daemon of this kind")
        return reply
