"""Who comes in, what each role may do, and what no request gets past."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select

from deploy.dashboard.access import sessions, users
from deploy.dashboard.access.errors import AccessError
from deploy.dashboard.access.limits import LoginLimits
from deploy.dashboard.access.sessions import Lifetimes
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import audit
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.web.app import ROUTERS, create_app
from deploy.dashboard.web.settings import WebSettings
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import ConfigError
from tests.deploy.dashboard.web.browser import PASSWORD
from tests.deploy.dashboard.web.client import Answer, Client
from tests.deploy.dashboard.web.conftest import USERS, opened

OPEN = {"/login", "/livez", "/static/{digest}/{name:path}"}


def ways() -> list[tuple[str, str]]:
    """Every method and path of the application, with a number in each place for one."""
    routes = [route for router in ROUTERS for route in router.routes]
    found = [
        (method, re.sub(r"{[^}]+}", "1", route.path))
        for route in routes
        if isinstance(route, APIRoute) and route.path not in OPEN
        for method in sorted(route.methods - {"HEAD"})
    ]
    assert len(found) == len(routes) - 2, "only the two of the login are open"
    return found


def token_of(page: Answer) -> str:
    found = re.search(r'name="csrf" (?:value|content)="([^"]+)"', page.text)
    assert found is not None
    return found[1]


def sign_in(client: Client, name: str, password: str = PASSWORD, **more: str) -> Answer:
    token = token_of(client.get("/login"))
    return client.post("/login", data={"name": name, "password": password, "csrf": token, **more})


def csrf(client: Client) -> dict[str, str]:
    return {"X-CSRF-Token": token_of(client.get("/worklist"))}


def test_nothing_but_the_login_is_shown_to_nobody(client: Client) -> None:
    for method, path in ways():
        answer = client.request(method, path)
        if method == "GET":
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/login?next="), path
        else:
            assert answer.status_code == 401, path


def test_who_comes_in_is_taken_where_they_wanted_to_go(client: Client) -> None:
    first = client.get("/slides/1?x=2")
    assert first.headers["location"] == "/login?next=%2Fslides%2F1%3Fx%3D2"

    answer = sign_in(client, "rosa", next="/slides/1?x=2")

    assert (answer.status_code, answer.headers["location"]) == (303, "/slides/1?x=2")
    assert client.get("/slides/1").status_code == 200


@pytest.mark.parametrize("foreign", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_login_leads_nowhere_else(client: Client, foreign: str) -> None:
    assert sign_in(client, "rosa", next=foreign).headers["location"] == "/worklist"


def test_a_wrong_password_and_an_unknown_user_are_told_the_same(client: Client) -> None:
    wrong, unknown = sign_in(client, "rosa", "not the password"), sign_in(client, "nobody", "x")

    def without_token(page: Answer) -> str:
        return re.sub(r'value="[^"]+"', "", page.text)

    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert without_token(wrong) == without_token(unknown)
    assert "User or password is wrong" in wrong.text


def test_an_unknown_user_takes_a_hash_as_well(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.dashboard.access import passwords

    hashed: list[str] = []

    class Counting:
        """In place of argon2's."""

        def verify(self, stored: str, _password: str) -> bool:
            hashed.append(stored)
            return True

    monkeypatch.setattr(passwords, "_hasher", Counting())
    with Database(filled) as database, database.reading() as connection:
        assert users.with_password(connection, "nobody", "whatever") is None
        assert users.with_password(connection, "rosa", "whatever") is not None

    assert len(hashed) == 2


def test_the_cookie_is_opaque_and_kept_from_scripts(settings: WebSettings) -> None:
    with opened(settings) as plain:
        cookie = sign_in(plain, "rosa").headers.getlist("set-cookie")[0]
        assert re.match(r"leuko=[\w-]{40,}; HttpOnly; Path=/; SameSite=lax$", cookie)
    with opened(replace(settings, trusted_proxy=("127.0.0.1",)), "https://lab.example") as proxied:
        answer = sign_in(proxied, "rosa")
        cookie = answer.headers.getlist("set-cookie")[0]
        assert re.match(r"__Host-leuko=[\w-]{40,}; HttpOnly; Path=/; SameSite=lax; Secure$", cookie)
        assert "max-age=" in answer.headers["strict-transport-security"]


def test_the_database_holds_no_cookie_and_no_password(client: Client, filled: Path) -> None:
    sign_in(client, "rosa")
    held, _ = client.cookies["leuko"]
    client.post("/logout", headers=csrf(client))
    sign_in(client, "rosa")

    content = b"".join(one.read_bytes() for one in filled.parent.glob("dashboard.db*"))
    assert held.encode() not in content
    assert PASSWORD.encode() not in content
    assert b"$argon2id$" in content


def test_every_login_begins_another_session(client: Client) -> None:
    sign_in(client, "rosa")
    first = client.cookies["leuko"]
    client.cookies.clear()
    sign_in(client, "rosa")
    assert client.cookies["leuko"] != first

    planted = client.cookies["leuko"]
    client.post("/logout", headers=csrf(client))
    client.cookies["leuko"] = planted
    sign_in(client, "ruth")
    assert client.cookies["leuko"] != planted


def test_who_signs_out_is_out(client: Client) -> None:
    sign_in(client, "rosa")
    held = client.cookies["leuko"]
    assert client.post("/logout", headers=csrf(client)).headers["location"] == "/login"

    client.cookies["leuko"] = held
    assert client.get("/worklist").status_code == 303


def test_a_session_ends_when_it_is_idle_and_in_any_case(filled: Path) -> None:
    lasts, now = Lifetimes(timedelta(minutes=30), timedelta(hours=2)), utc_now()
    with Database(filled) as database, database.writing() as connection:
        token = sessions.begin(connection, users.find(connection, "rosa"), None, now, lasts)

        def is_in(minutes: float) -> bool:
            moment = now + timedelta(minutes=minutes)
            found = sessions.find(connection, token, moment, lasts)
            if found is not None and sessions.to_be_touched(found, moment):
                sessions.touch(connection, found, moment)
            return found is not None

        assert [is_in(29), is_in(58), is_in(87), is_in(116)] == [True] * 4
        assert not is_in(120)
        token = sessions.begin(connection, users.find(connection, "rosa"), None, now, lasts)
        assert [is_in(29), is_in(60)] == [True, False]


def test_what_a_page_asks_by_itself_keeps_no_idle_session_open(
    client: Client, filled: Path
) -> None:
    sign_in(client, "rosa")

    def seen_at(after: str) -> int:
        with sqlite3.connect(filled) as file:
            file.execute("UPDATE sessions SET seen_at = seen_at - 300000000")
            file.commit()
            before = file.execute("SELECT seen_at FROM sessions").fetchone()[0]
            client.get("/slides/1/news", headers={"X-Background": "1"} if after else {})
            return file.execute("SELECT seen_at FROM sessions").fetchone()[0] - before

    assert seen_at("background") == 0
    assert seen_at("") > 0


def test_one_who_is_disabled_is_out_at_once(client: Client, filled: Path) -> None:
    sign_in(client, "rosa")
    with Database(filled) as database, database.writing() as connection:
        users.set_active(connection, "rosa", active=False)

    assert client.get("/worklist").status_code == 303
    assert sign_in(client, "rosa").status_code == 401


def test_another_password_ends_the_other_sessions(settings: WebSettings) -> None:
    with opened(settings) as here, opened(settings) as there:
        sign_in(here, "rosa")
        sign_in(there, "rosa")
        new = "another six words from dice"
        form = {"old": PASSWORD, "new": new, "again": new, "csrf": token_of(here.get("/account"))}
        assert here.post("/account", data={**form, "old": "wrong"}).status_code == 403
        assert here.post("/account", data={**form, "again": "other"}).status_code == 400
        assert here.post("/account", data={**form, "new": "x", "again": "x"}).status_code == 400

        assert here.post("/account", data=form).headers["location"] == "/account?changed=true"
        assert here.get("/worklist").status_code == 200
        assert there.get("/worklist").status_code == 303
        assert sign_in(there, "rosa").status_code == 401
        assert sign_in(there, "rosa", new).status_code == 303


def test_logins_wait_after_too_many_failures(settings: WebSettings) -> None:
    with opened(replace(settings, logins=LoginLimits(per_user=3, per_address=6))) as client:
        assert [sign_in(client, "rosa", "wrong").status_code for _ in range(3)] == [401] * 3
        waiting = sign_in(client, "rosa")
        assert (waiting.status_code, int(waiting.headers["retry-after"]) > 200) == (429, True)
        assert [sign_in(client, f"n{n}", "x").status_code for n in range(3)] == [401] * 3
        assert sign_in(client, "ruth").status_code == 429, "the address has failed too often"


WRITES = {
    ("/slides/1/cells/1/decision", "reviewer"): {"label": "blast"},
    ("/slides/1/undo", "reviewer"): {},
    ("/slides/1/signature", "reviewer"): {
        "conclusion": "positive", "standing": "", "decisions": 0,
    },
    ("/slides/1/reopen", "lead"): {"reason": "x"},
}  # fmt: skip
ORDER = ("viewer", "reviewer", "lead", "admin")


@pytest.mark.parametrize("name", ["vera", "rosa", "lena", "anna"])
def test_each_role_may_do_so_much_and_no_more(client: Client, name: str) -> None:
    sign_in(client, name)
    headers, mine = csrf(client), ORDER.index(USERS[name])
    for (path, needed), body in WRITES.items():
        answer = client.post(path, json=body, headers=headers)
        assert (answer.status_code == 403) == (mine < ORDER.index(needed)), (path, answer.text)
    assert (client.get("/audit").status_code == 403) == (mine < ORDER.index("lead"))
    assert client.get("/slides/1").status_code == 200


def test_every_change_wants_the_sessions_token(client: Client) -> None:
    sign_in(client, "anna")
    changing = [path for method, path in ways() if method != "GET"]
    assert "/slides/1/cells/1/decision" in changing
    for path in changing:
        for headers in ({}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": "é"}):
            assert client.post(path, json={}, headers=headers).status_code == 403, path


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_another_sites_page_changes_nothing(client: Client, headers: dict[str, str]) -> None:
    sign_in(client, "rosa")
    token = csrf(client)
    path, body = "/slides/1/cells/1/decision", {"label": "blast"}
    assert client.post(path, json=body, headers=token | headers).status_code == 403

    client.cookies.clear()
    page = client.get("/login")
    form = {"name": "rosa", "password": PASSWORD, "csrf": token_of(page)}
    assert client.post("/login", data=form, headers=headers).status_code == 403
    client.cookies.clear()
    assert client.post("/login", data=form).status_code == 403, "the form's cookie is missing"


def test_every_answer_is_safe_to_show(client: Client) -> None:
    sign_in(client, "lena")
    paths = ["/login", "/worklist", "/slides/1", "/audit", "/nowhere", "/slides/99", "/livez"]
    for path in [*paths, "/slides/1/pictures?cells=1", "/worklist?after=nonsense"]:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert "http" not in policy, "no other host is allowed"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"].startswith(("no-store", "private"))


def test_scripts_are_kept_for_good_and_found_by_their_digest(client: Client) -> None:
    page = client.get("/login").text
    style = re.search(r'href="(/static/[0-9a-f]{16}/style.css)"', page)
    assert style is not None
    assert "immutable" in client.get(style[1]).headers["cache-control"]
    assert client.get("/static/0000000000000000/style.css").status_code == 404
    assert client.get("/static/../settings.py").status_code == 404
    assert client.get(style[1].replace("style.css", "../settings.py")).status_code == 404


def test_no_page_holds_a_credential_of_the_broker(client: Client) -> None:
    sign_in(client, "anna")
    for path in ("/worklist", "/slides/1", "/audit", "/account"):
        assert not re.search(r"mqtt|PRIVATE KEY|client\.key", client.get(path).text, re.IGNORECASE)


def test_what_fails_here_shows_no_traceback(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(client, "rosa")

    def broken(*_arguments: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("deploy.dashboard.web.worklist.worklist", broken)
    answer = client.get("/worklist")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "content-security-policy" in answer.headers


def test_a_body_that_is_too_large_is_cut_off(client: Client) -> None:
    sign_in(client, "rosa")
    answer = client.post("/slides/1/undo", content=b"x" * 100_000, headers=csrf(client))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"host": "0.0.0.0"}, "in the clear"),  # noqa: S104
        ({"certificate": Path("nowhere.pem")}, "--certificate and --key"),
        ({"trusted_proxy": ("nonsense",)}, "--trusted-proxy"),
    ],
)
def test_what_would_send_passwords_in_the_clear_is_refused(
    settings: WebSettings, change: dict[str, object], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        create_app(replace(settings, **change))  # type: ignore[arg-type]


def test_without_a_database_nothing_begins(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="dashboard migrate"):
        create_app(WebSettings(str(tmp_path / "none.db")))


def test_only_a_trusted_proxys_word_about_addresses_counts(settings: WebSettings) -> None:
    def address(trusted: str) -> str | None:
        with opened(replace(settings, trusted_proxy=(trusted,)), "https://lab.example") as client:
            client.headers["X-Forwarded-For"] = "10.1.2.3"
            sign_in(client, "rosa")
        with Database(settings.database) as database, database.reading() as connection:
            return connection.scalars(select(audit.c.address).order_by(audit.c.id)).all()[-1]

    assert address("192.0.2.1") == "127.0.0.1"
    assert address("127.0.0.0/8") == "10.1.2.3"


@pytest.mark.parametrize(
    ("name", "role", "password", "word"),
    [
        ("rosa", "viewer", PASSWORD, "already"),
        ("Rosa!", "viewer", PASSWORD, "cannot be"),
        ("new", "boss", PASSWORD, "no role"),
        ("new", "viewer", "short", "12 to 256"),
        ("new", "viewer", "x" * 300, "12 to 256"),
    ],
)
def test_a_user_that_cannot_be_is_one_line(
    filled: Path, name: str, role: str, password: str, word: str
) -> None:
    with (
        Database(filled) as database,
        database.writing() as connection,
        pytest.raises(AccessError, match=word),
    ):
        users.add(connection, name, role, password)


def test_the_last_admin_stays(filled: Path) -> None:
    with Database(filled) as database, database.writing() as connection:
        with pytest.raises(AccessError, match="last admin"):
            users.set_active(connection, "anna", active=False)
        with pytest.raises(AccessError, match="last admin"):
            users.set_role(connection, "anna", "viewer")
        users.set_role(connection, "lena", "admin")
        users.set_active(connection, "anna", active=False)
