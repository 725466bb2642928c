"""Who is let in."""

from __future__ import annotations

import pytest

from nucleate.apps.web.guard import Guard, refusal

pytestmark = pytest.mark.base

GUARD = Guard(8765, "right")
GOOD = {"host": "127.0.0.1:8765", "cookie": "nucleate-8765=right"}


def _status(method: str, *, query: str = "", **headers: str) -> int | None:
    answer = refusal(GUARD, method, headers=GOOD | headers, query=query)
    return None if answer is None else answer[0]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_the_page_itself_is_let_in(method: str) -> None:
    assert _status(method) is None
    assert _status(method, origin="http://localhost:8765", host="localhost:8765") is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example:8765",
        "localhost:1",
        "localhost",
        "192.168.0.2:8765",
        "",
        "[::1]",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert _status("GET", host=host) == 421
    assert _status("GET", host=host, query="secret=right") == 421


@pytest.mark.parametrize("name", ["localhost", "localhost:80", "127.0.0.1"])
def test_browsers_leave_out_port_80(name: str) -> None:
    headers = {"host": name, "origin": f"http://{name}", "cookie": "nucleate-80=right"}
    assert refusal(Guard(80, "right"), "POST", headers=headers, query="") is None


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("host", "localhost:9000", "got localhost:9000; give a tunnel the same port on both sides: ssh -L 8765:"),
        ("origin", "http://localhost:9000", "got http://localhost:9000; open 127.0.0.1:8765"),
    ],
)
def test_a_tunnel_of_another_port_is_told_which_one(name: str, value: str, told: str) -> None:
    answer = refusal(GUARD, "POST", headers=GOOD | {name: value}, query="")
    assert answer is not None
    assert told in answer[1]


@pytest.mark.parametrize("cookie", ["", "nucleate-8765=wrong", "nucleate-1=right", "nucleate-8765=", "\x00;;="])
def test_without_the_secret_nothing_is_told(cookie: str) -> None:
    assert _status("GET", cookie=cookie) == 403
    assert _status("POST", cookie=cookie) == 403


@pytest.mark.parametrize("other", ['prefs={"a": 1}', "a[b]=1", "n=a b", "flag", "path=1"])
def test_odd_cookies_of_other_programs_do_not_matter(other: str) -> None:
    assert _status("POST", cookie=f"{other}; nucleate-8765=right") is None
    assert _status("POST", cookie=f"nucleate-8765=right;{other}") is None


def test_the_secret_in_the_address_only_opens() -> None:
    assert _status("GET", cookie="", query="secret=right") is None
    assert _status("GET", cookie="", query="secret=wrong") == 403
    assert _status("POST", cookie="", query="secret=right") == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:9999", "https://localhost:8765"])
def test_other_pages_change_nothing(origin: str) -> None:
    assert _status("POST", origin=origin) == 403
    assert _status("PUT", origin=origin) == 403


def test_each_run_has_a_secret_of_its_own() -> None:
    first, second = Guard(8765), Guard(8765)
    assert first.secret != second.secret
    assert len(first.secret) >= 32
    assert first.secret in first.address
    assert first.secret not in repr(first)
