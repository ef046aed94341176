"""Who a page is for."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.dashboard.access.sessions import Session
from deploy.dashboard.access.users import User


@dataclass(frozen=True)
class Visitor:
    """Somebody who is in, and asks."""

    session: Session
    address: str | None

    @property
    def user(self) -> User:
        """Who it is."""
        return self.session.user
