"""The door of the server: who may ask, from where, and how much."""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

# An answer is asked for in some hundred bytes; a selection of 500 runs in some 50 kB.
MOST_BYTES = 256 * 1024
_SECURITY = (
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
     b"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)  # fmt: skip
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class Guard:
    """ASGI around an application: Host, Origin and a token are checked, a body is bounded, every answer is closed.

    Arguments:
        app: what answers.
        port: of the server.
        token: that the address which is printed has.
    """

    def __init__(self, app: Any, port: int, token: str) -> None:
        self._app, self._token = app, token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._cookie = f"thalweg-{port}"

    async def __call__(self, scope: dict[str, Any], receive: Any, send: _Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await answer(send, *refusal)
            return
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=50)
        if scope["path"] == "/" and "token" in query:
            # From here on a cookie, so that the token stands in no address that is passed on.
            text = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            await answer(send, 303, "", [(b"location", b"/"), (b"set-cookie", text.encode())])
            return
        body, whole = b"", False
        while not whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            whole = not message.get("more_body", False)
            if len(body) > MOST_BYTES:
                await answer(send, 413, f"a request has at most {MOST_BYTES} bytes")
                return
        given = False

        async def read() -> dict[str, Any]:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def closed(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = message | {"headers": [*message.get("headers", []), *_SECURITY]}
            await send(message)

        await self._app(scope, read, closed)

    def _refusal(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if host not in self._hosts:
            # Another name that leads here is a page elsewhere that would read it.
            return 403, "this server answers to 127.0.0.1 alone"
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1") not in {f"http://{one}" for one in self._hosts}:
            return 403, "this server answers to its own page alone"
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            return 403, "this server answers to its own page alone"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "this server knows GET and POST"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 12 or int(length) > MOST_BYTES:
            return 413, f"a request has at most {MOST_BYTES} bytes"
        if not self._known(scope, headers):
            return 401, "the address that thalweg view printed, with its token, opens this page"
        return None

    def _known(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> bool:
        try:
            query = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=50)
        except ValueError:
            return False
        given = [*query.get("token", [])[:1], headers.get(b"x-thalweg-token", b"").decode("latin-1")]
        for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self._cookie:
                given.append(value)
        return any(hmac.compare_digest(one.encode(), self._token.encode()) for one in given if one)


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(18)


async def answer(send: _Send, status: int, text: str, more: list[tuple[bytes, bytes]] | None = None) -> None:
    """A line of text as a whole answer."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *(more or []), *_SECURITY]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
