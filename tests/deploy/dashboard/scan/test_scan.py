"""A scanner finds no hole in the application, and would have found it.

Only ``make scan`` runs this: it takes twenty minutes.
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import ssl
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from deploy.dashboard.access.limits import LoginLimits
from deploy.dashboard.web.settings import WebSettings
from tests.deploy.dashboard.fleet_day import CANDIDATE
from tests.deploy.dashboard.scan.holes import BELOW
from tests.deploy.dashboard.scan.listener import Listener
from tests.deploy.dashboard.scan.scanner import ATTACKS, SURFACE, Report, scan
from tests.deploy.dashboard.scan.target import Asked, all_ways, document, noted
from tests.deploy.dashboard.web.browser import PASSWORD
from tests.deploy.dashboard.web.conftest import serving

LEFT_ALONE = ("/logout", "/events")
"""The end of the session, and a stream that never ends."""
NO_LIMITS = LoginLimits(per_user=10**9, per_address=10**9)
ATTACK_S = float(os.environ.get("LEUKO_SCAN_S", "300"))
"""For each module; which of them were cut off is told."""
WHO = [("rosa", "http"), ("anna", "https")]
"""A reviewer and an admin, with and without TLS."""
HOLES = {"csrf", "file", "permanentxss", "redirect", "sql", "ssrf", "xss"}


@dataclass(frozen=True)
class Visit:
    """Somebody who came in."""

    cookie: str
    csrf: str
    openapi: dict[str, Any]
    cell: int
    """One of the first slide."""


@pytest.fixture(params=WHO, ids=lambda one: "-".join(one))
def who(
    request: pytest.FixtureRequest, settings: WebSettings, tmp_path: Path
) -> tuple[str, WebSettings]:
    """A user, and the application with or without TLS."""
    name, scheme = request.param
    if scheme == "https":
        made = trustme.CA().issue_cert("127.0.0.1")
        made.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
        made.private_key_pem.write_to_path(tmp_path / "server.key")
        settings = replace(
            settings, certificate=tmp_path / "server.pem", key=tmp_path / "server.key"
        )
    return name, settings


def come_in(url: str, name: str) -> Visit:
    """Sign in as a browser does."""
    jar = http.cookiejar.CookieJar()
    browser = browser_of(jar)
    browser.addheaders = [("Accept", "text/html")]

    def get(path: str, form: dict[str, str] | None = None) -> str:
        body = None if form is None else urllib.parse.urlencode(form).encode()
        return str(browser.open(f"{url}{path}", body).read().decode())

    def token(page: str) -> str:
        found = re.search(r'name="csrf" (?:value|content)="([^"]+)"', page)
        assert found is not None
        return found[1]

    page = get("/login", {"name": name, "password": PASSWORD, "csrf": token(get("/login"))})
    (cookie,) = [one for one in jar if "login" not in one.name]
    cells = json.loads(get("/api/v1/slides/1/cells?limit=1"))
    return Visit(
        f"{cookie.name}={cookie.value}",
        token(page),
        json.loads(get("/api/v1/openapi.json")),
        cells["items"][0]["unique_id"],
    )


def browser_of(jar: http.cookiejar.CookieJar) -> urllib.request.OpenerDirector:
    """One that takes our own server's certificate, whoever made it."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(jar), urllib.request.HTTPSHandler(context=trust)
    )


def is_in(url: str, visit: Visit) -> bool:
    """Whether the session still counts, so that what was asked was answered to somebody."""
    browser = browser_of(http.cookiejar.CookieJar())
    browser.addheaders = [("Cookie", visit.cookie)]
    with browser.open(f"{url}/api/v1/me") as answer:
        return int(answer.status) == 200


def cookie_of_the_form(url: str) -> str:
    """What goes with the token of a form of the login; without it all forms have another one."""
    jar = http.cookiejar.CookieJar()
    browser_of(jar).open(f"{url}/login").close()
    (cookie,) = jar
    return f"{cookie.name}={cookie.value}"


def left_alone(url: str) -> list[str]:
    return [word for path in LEFT_ALONE for word in ("-x", f"{url}{path}")]


def judge(report: Report, asked: Asked) -> None:
    print(f"\n{report.figures()}")
    assert report.grave == []
    assert asked.broke == []
    assert report.cut == (), "a module had no time to finish: make scan SCAN_S=1200"
    assert report.skipped <= sum(report.requests.values()) // 50, "too little was answered"


def test_nothing_grave_is_found_by_looking(
    scanner: Path, who: tuple[str, WebSettings], tmp_path: Path
) -> None:
    """It signs in by the form, follows links, and tries what needs no hole in a parameter.

    Limits of logins are those of the product, so its guesses at passwords meet them.
    """
    name, settings = who
    asked = Asked()
    with serving(settings, noted(asked)) as url:
        login = ["--form-user", name, "--form-password", PASSWORD, "--form-url", f"{url}/login"]
        report = scan(
            scanner, f"{url}/", SURFACE, [*login, *left_alone(url)], tmp_path,
            asked.count, attack_s=ATTACK_S,
        )  # fmt: skip

    judge(report, asked)
    assert ("GET", "/slides/{number}") in asked.answered(200), "it was in, and found its way"
    assert report.pages > 50


def test_nothing_grave_is_found_from_outside(
    scanner: Path, settings: WebSettings, listener: Listener, tmp_path: Path
) -> None:
    """Nobody is in: the form of the login is attacked, and easy names and passwords are tried.

    Without limits of logins, so that what is tried is looked at.
    """
    asked = Asked()
    with serving(replace(settings, logins=NO_LIMITS), noted(asked)) as url:
        report = scan(
            scanner, f"{url}/", ("brute_login_form", "csrf", *ATTACKS),
            ["--endpoint", listener.url, "-C", cookie_of_the_form(url), *left_alone(url)],
            tmp_path, asked.count, attack_s=ATTACK_S,
        )  # fmt: skip

    judge(report, asked)
    assert asked.answers["POST", "/login", 401] > 1000, "names and passwords were looked at"
    assert {path for _, path in asked.answered(200)} <= {"/login", "/static/{digest}/{name:path}"}


def test_nothing_grave_is_found_by_attacking(
    scanner: Path, who: tuple[str, WebSettings], listener: Listener, tmp_path: Path
) -> None:
    """Every route is known to it, and every request carries session and token of somebody."""
    name, settings = who
    asked = Asked()
    with serving(replace(settings, logins=NO_LIMITS), noted(asked)) as url:
        visit = come_in(url, name)
        known = {
            "/models/": {"number": "1", "place": "0"},
            "/": {"number": "1", "unique_id": str(visit.cell)},
        }
        (tmp_path / "all.json").write_text(json.dumps(document(visit.openapi, known, LEFT_ALONE)))
        report = scan(
            scanner, f"{url}/", ATTACKS,
            [
                "--swagger", str(tmp_path / "all.json"), "--endpoint", listener.url,
                "-s", f"{url}/models/slides/1?candidate={CANDIDATE}",
                "-d", "0", "-C", visit.cookie, "-H", f"X-CSRF-Token: {visit.csrf}",
                *left_alone(url),
            ],
            tmp_path, asked.count, attack_s=ATTACK_S,
        )  # fmt: skip
        assert is_in(url, visit)

    missed = all_ways(visit.openapi) - asked.met_by_somebody()
    assert {path for _, path in missed} <= set(LEFT_ALONE), missed
    strange = sum(count for (*_, status), count in asked.answers.items() if status == 401)
    assert strange <= asked.count() // 50, "one module overwrites the cookie, the others do not"
    judge(report, asked)


def test_the_scanner_finds_holes_that_everybody_knows(
    scanner: Path, settings: WebSettings, listener: Listener, tmp_path: Path
) -> None:
    """The control: the same scanner, against the same application with a few pages with holes."""
    asked = Asked()
    with serving(settings, noted(asked, holes=True)) as url:
        visit = come_in(url, "rosa")
        report = scan(
            scanner, f"{url}{BELOW}/", sorted(HOLES),
            ["--endpoint", listener.url, "-C", visit.cookie, "-d", "2", "--scope", "folder"],
            tmp_path, asked.count,
        )  # fmt: skip

    print(f"\n{report.figures()}")
    assert {one.module for one in report.grave} == HOLES
    assert all(BELOW in one.where for one in report.findings)
