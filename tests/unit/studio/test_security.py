"""Hosts, origins, tokens, sizes, headers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.datastructures import Headers
from tests.unit.studio.conftest import URL, Start, send
from tests.unit.studio.test_app import error_of

from glossfree.studio.security import COOKIE, hostname, is_same_origin, tokens


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8765", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("[::1", 421),
        ("localhost@evil.example", 421),
    ],
)
def test_only_the_servers_own_names_are_answered(start: Start, host: str, status: int) -> None:
    response = start().get("/healthz", headers={"host": host})
    assert response.status_code == status
    if status != 200:
        error_of(response, status)


def test_other_names_can_be_allowed(start: Start) -> None:
    client = start(settings={"host": "0.0.0.0", "token": "t", "hosts": ("studio.example",)})
    assert client.get("/healthz", headers={"host": "studio.example:80"}).status_code == 200
    assert client.get("/healthz", headers={"host": "other.example"}).status_code == 421
    anywhere = start(settings={"host": "0.0.0.0", "token": "t"})
    assert anywhere.get("/healthz", headers={"host": "other.example"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"host": "example.net:1", "origin": "http://example.net:1"}, True),
        ({"host": "example.net:1", "origin": "HTTPS://EXAMPLE.NET:1"}, True),
        ({"host": "example.net:1"}, True),
        ({"host": "example.net:1", "sec-fetch-site": "same-origin"}, True),
        ({"host": "example.net:1", "origin": "http://example.net:2"}, False),
        ({"host": "example.net:1", "origin": "http://127.0.0.1"}, False),
        ({"host": "example.net:1", "origin": "null"}, False),
        ({"host": "example.net:1", "origin": ""}, False),
        ({"host": "example.net:1", "origin": "http://[a"}, False),
        ({"origin": "http://"}, False),
        ({"host": "example.net:1", "sec-fetch-site": "cross-site"}, False),
        ({"host": "example.net:1", "sec-fetch-site": "same-site"}, False),
    ],
)
def test_origins(headers: dict[str, str], same: bool) -> None:
    assert is_same_origin(Headers(headers)) is same


def test_another_sites_page_can_change_nothing(start: Start) -> None:
    client = start()
    id = send(client, "a").json()["id"]
    evil = {"origin": "http://example.net"}
    for response in (
        client.post("/v1/translations", files={"video": b"a"}, headers=evil),
        client.delete(f"/v1/translations/{id}", headers=evil),
        client.post(f"/v1/translations/{id}/segments", json=[], headers=evil),
    ):
        error_of(response, 403)
    assert client.post("/v1/translations", files={"video": b"a"}, headers={"origin": URL}).status_code == 202
    for name in ("access-control-allow-origin", "access-control-allow-credentials"):
        assert name not in client.get("/v1/models", headers=evil).headers


def test_a_token_is_demanded_of_everything_but_health(start: Start) -> None:
    client = start(settings={"token": "secret"})
    assert client.get("/healthz").status_code == 200
    for path in ("/v1/models", "/metrics", "/openapi.json", "/", "/v1/nothing"):
        response = client.get(path)
        error_of(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
    error_of(send(client, "a"), 401)
    for wrong in (b"Bearer wrong", b"Bearer", b"Basic c2VjcmV0", b"secret", b"Bearer s\xe9cret"):
        assert client.get("/metrics", headers={"authorization": wrong}).status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200


def test_the_address_with_the_token_leaves_a_cookie(start: Start) -> None:
    client = start(settings={"token": "secret"})
    error_of(client.get("/?token=wrong"), 401)
    response = client.get("/?token=secret", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.get("/v1/models").status_code == 200  # by the cookie
    client.cookies.clear()
    client.cookies.set(COOKIE, "wrong")
    assert client.get("/v1/models").status_code == 401


def test_a_body_that_is_too_large_is_refused_stated_or_not(start: Start) -> None:
    client = start(upload_bytes=1000)
    error_of(send(client, "x" * 102_000), 413)
    error_of(send(client, "x" * 900_000), 413)

    def chunks(count: int) -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="video"; filename="v"\r\n\r\n'
        yield from [b"x" * 10_000] * count
        yield b"\r\n--b--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=b"}
    for count in (12, 60):
        error_of(client.post("/v1/translations", content=chunks(count), headers=headers), 413)
    assert client.post("/v1/translations", content=chunks(5), headers=headers).status_code == 202
    json = {"content-type": "application/json"}
    error_of(client.post("/v1/translations", content=b" " * 100_001, headers=json), 413)


def test_every_answer_has_the_headers_that_protect_a_page(start: Start) -> None:
    client = start()
    for response in (client.get("/v1/models"), client.get("/nothing"), client.get("/", headers={"host": "x"})):
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
    assert client.get("/v1/models").headers["cache-control"] == "no-store"


def test_names_and_tokens_are_read_from_headers() -> None:
    assert [hostname(each) for each in ("A:1", "[::1]", "a b", "[", "")] == ["a", "::1", "a b", "", ""]
    assert tokens(Headers({"authorization": "bearer  x", "cookie": f"a=b; {COOKIE}=y"})) == ["x", "y"]
    assert tokens(Headers({"authorization": "Basic x", "cookie": ";;;=,"})) == []
