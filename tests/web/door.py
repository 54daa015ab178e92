"""A server of the tests' own, and questions to it over a socket."""

import contextlib
import http.client
import json
import threading
import time

TOKEN = "letters-and-digits"


@contextlib.contextmanager
def served(root, grounds=None):
    """The port of a server over a directory."""
    import uvicorn

    from thalweg.web._answers import Answers
    from thalweg.web._guard import Guard
    from thalweg.web._server import application, bound

    answers = Answers(root, grounds)
    with bound(None) as listening:
        port = listening.getsockname()[1]
        app = Guard(application(answers), port, TOKEN)
        config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", timeout_keep_alive=5)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield port
        finally:
            server.should_exit = True
            thread.join(10)
            answers.close()


def ask(port, question, asked=None, **more):
    """(status, answer) of a question of the page."""
    status, _, body = send(port, "POST", f"/api/{question}", json.dumps(asked or {}), **more)
    return status, json.loads(body)


def send(port, method, path, body=None, token=TOKEN, headers=None):
    """(status, headers, body) of any request."""
    given = (
        {"content-type": "application/json"} | ({} if token is None else {"x-thalweg-token": token}) | (headers or {})
    )
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()
