"""A server on this machine that shows run directories in a browser."""

import contextlib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InputError, check_count
from .._typed import typed
from ._answers import NAMES, Answers
from ._guard import Guard, new_token
from ._page import files
from ._plain import encoded

if TYPE_CHECKING:
    from ._grounds import Ground

_FIRST, _TRIED = 8471, 50


@typed()
def serve(
    root: str | Path = "runs",
    port: int | None = None,
    token: str | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Show the runs below a directory in a browser, until it is interrupted.

    It listens on 127.0.0.1 alone, answers who has the token of its address, reads the directory and writes nothing.

    Arguments:
        root: the directory that holds the runs.
        port: of the machine; None takes a free one.
        token: a secret of one's own; None draws one.
        ready: called with the address once the server listens; None prints it.

    Raises:
        InputError: the directory is none, the port is taken, or the extra `web` is not installed.
    """
    if not Path(root).is_dir():
        raise InputError(f"{root} is not a directory; give the one that holds the runs")
    _serve(Path(root), port, token, ready, {})


def _serve(
    root: Path, port: int | None, token: str | None, ready: Callable[[str], None] | None,
    grounds: "dict[str, Callable[[], Ground]]",
) -> None:  # fmt: skip
    require_web()
    if port is not None:
        check_count("port", port)
    secret = new_token() if token is None else token
    if not secret.isascii() or not secret.isprintable() or len(secret) < 8 or set(secret) & set(' ;,"\\&=#?'):
        raise InputError("token must be at least eight letters and digits")
    import uvicorn

    with bound(port) as listening:
        number = listening.getsockname()[1]
        answers = Answers(root, grounds)
        app = Guard(application(answers), number, secret)
        config = uvicorn.Config(
            app, log_level="critical", access_log=False, lifespan="off", timeout_keep_alive=5, server_header=False,
            limit_concurrency=200, timeout_graceful_shutdown=1, h11_max_incomplete_event_size=32_768,
        )  # fmt: skip
        address = f"http://127.0.0.1:{number}/?token={secret}"
        (ready or (lambda text: print(text, flush=True)))(address)
        with contextlib.closing(answers), contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def application(answers: Answers) -> Any:
    """Starlette's application: the files of the page, and an address for each answer."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    static = files()

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in static:
            return Response("there is no such page", 404, media_type="text/plain")
        content, kind = static[name]
        return Response(content, media_type=kind)

    def reply(what: Callable[[dict[str, Any]], Any], asked: Any) -> tuple[int, bytes]:
        try:
            if not isinstance(asked, dict):
                raise InputError("a request is a JSON object")
            return 200, encoded(what(asked))
        except (InputError, OSError) as error:
            return 400, encoded({"error": " ".join(str(error).split())})
        except Exception as error:
            # Whatever is in a directory, or asked for, the server goes on.
            text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            print(f"thalweg view: {text}", file=sys.stderr)
            return 422, encoded({"error": text})

    async def api(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in NAMES:
            return Response(encoded({"error": "there is no such question"}), 404, media_type="application/json")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return Response(encoded({"error": "a request is JSON"}), 415, media_type="application/json")
        try:
            asked = json.loads(await request.body() or b"{}")
        except (ValueError, RecursionError):
            return Response(encoded({"error": "a request is JSON"}), 400, media_type="application/json")
        status, body = await run_in_threadpool(reply, getattr(answers, name), asked)
        return Response(body, status, media_type="application/json")

    return Starlette(routes=[
        Route("/", file, methods=["GET"]),
        Route("/static/{name}", file, methods=["GET"]),
        Route("/api/{name}", api, methods=["POST"]),
    ])  # fmt: skip


def bound(port: int | None) -> socket.socket:
    """A socket that listens on 127.0.0.1, on a given port or a free one."""
    for number in [port] if port is not None else [*range(_FIRST, _FIRST + _TRIED), 0]:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind(("127.0.0.1", number))
            found.listen(128)
            return found
        except (OSError, OverflowError):
            found.close()
    raise InputError(f"port {port} is taken, or may not be used; leave it out for a free one")


def require_web() -> None:
    """Refuse to go on without the extra `web`."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise InputError('thalweg view needs starlette and uvicorn: pip install "thalweg[web]"') from None
