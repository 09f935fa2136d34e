"""Who may ask, and what a browser may do with the answer: host, token, origin, size of the body, and headers."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from glossfree.studio.limits import LOOPBACK, Settings

COOKIE = "glossfree_token"
FORM = 100_000  # bytes of a request besides its video
DRAIN = 4  # times the limit that is still read of a body that is too large: browsers want to send all of it
SAFE = ("GET", "HEAD", "OPTIONS")
ANYWHERE = ("", "0.0.0.0", "::")  # addresses that stand for every name of a machine
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
}


def refusal(
    status: int, problem: str, where: str, remedy: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error as the API answers it."""
    values = {"error": {"problem": problem, "where": where, "remedy": remedy}}
    return JSONResponse(values, status, headers)


class Guard:
    """Middleware around everything else. `responses` counts answers by method and status, for /metrics."""

    def __init__(self, app: ASGIApp, settings: Settings, responses: Counter[tuple[str, int]]) -> None:
        self.app, self.settings, self.responses = app, settings, responses
        self.hosts = {*LOOPBACK, settings.host, *settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.responses[scope["method"], message["status"]] += 1
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store" if scope["path"].startswith("/v1") else "no-cache")
            await send(message)

        headers = Headers(scope=scope)
        answer = self._refused(scope, headers)
        if answer is not None:
            await answer(scope, receive, guarded_send)
            return
        await self._limited(scope, receive, guarded_send)

    def _refused(self, scope: Scope, headers: Headers) -> JSONResponse | RedirectResponse | None:
        """The answer to a request that goes no further."""
        host = hostname(headers.get("host", ""))
        is_open = self.settings.host in ANYWHERE and not self.settings.hosts  # then the token alone protects
        if not is_open and host not in self.hosts:
            return refusal(421, f"this server is not {host!r}", "Host", "name the host: --allow-host NAME")
        if scope["method"] not in SAFE and not is_same_origin(headers):
            return refusal(403, "a request from another site", "Origin", "send it from the server's own page")
        if not self.settings.token or scope["path"] == "/healthz":
            return None
        if scope["path"] == "/" and (query := parse_qs(scope["query_string"].decode("latin-1")).get("token")):
            if not self._is_token(query[0]):
                return refusal(401, "not the token", "?token=", "use the address that the server printed")
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, query[0], httponly=True, samesite="strict", path="/")
            return answer
        if any(self._is_token(each) for each in tokens(headers)):
            return None
        remedy = "send `Authorization: Bearer TOKEN`, or open the address that the server printed"
        return refusal(401, "no token, or a wrong one", "Authorization", remedy, {"www-authenticate": "Bearer"})

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self.settings.token.encode())

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; a body that is too large ends it with 413, at once if it says so."""
        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        limit = FORM + (self.settings.limits.upload_bytes if is_form else 0)
        stated = headers.get("content-length", "")
        received = 0
        too_large = HTTPException(413, f"more than {limit:,} bytes")

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                if message.get("more_body", False):
                    await _drain(receive, (DRAIN - 1) * limit)
                raise too_large
            return message

        if stated.isdigit() and int(stated) > limit:
            if int(stated) <= DRAIN * limit:
                await _drain(receive, DRAIN * limit)
            await refusal(413, too_large.detail, scope["path"], "cut the video, or scale it down")(scope, receive, send)
        else:
            await self.app(scope, limited_receive, send)


async def _drain(receive: Receive, num_bytes: int) -> None:
    """Read and drop the rest of a body, up to so many bytes: browsers show an answer only after they have sent all."""
    while num_bytes > 0:
        message = await receive()
        num_bytes -= len(message.get("body", b""))
        if not message.get("more_body", False):
            return


def hostname(host: str) -> str:
    """A Host header -> the name without its port, lower case."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_same_origin(headers: Headers) -> bool:
    """Whether a request does not come from another site's page. Programs send neither header."""
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower().partition("://")[2] == headers.get("host", "-").lower()
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def tokens(headers: Headers) -> list[str]:
    """The tokens that a request carries, in its Authorization header and in its cookie."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    carried = [token.strip()] if scheme.lower() == "bearer" else []
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return carried
    return [*carried, *([cookies[COOKIE].value] if COOKIE in cookies else [])]
