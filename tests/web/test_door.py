"""Who may ask the server, from where, for what, and how much."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

import thalweg as tw
from tests.web.door import TOKEN, ask, send, served
from thalweg._errors import InputError
from thalweg.web._confined import UnknownRunError, inside, readable
from thalweg.web._guard import MOST_BYTES

SECRET = "what nobody may read"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Runs, and beside them what is not to be read."""
    base = tmp_path_factory.mktemp("web")
    runs = base / "runs"
    for name in ("good", "<img src=x onerror=alert(1)>", "ä" * 100):
        with tw.Recorder(runs / name, tw.Hyperparameters(0.5)) as recorder:
            recorder.log(loss=1.0)
    outside = base / "outside"
    with tw.Recorder(outside, tw.Hyperparameters(0.5), objective=SECRET) as recorder:
        recorder.log(loss=1.0)
    (base / "secret").write_text(SECRET)
    (runs / "linked").symlink_to(outside, target_is_directory=True)
    for name, file in (("link-in", "run.toml"), ("link-metrics", "metrics.jsonl")):
        with tw.Recorder(runs / name, tw.Hyperparameters(0.5)) as recorder:
            recorder.log(loss=1.0)
        (runs / name / file).unlink()
        (runs / name / file).symlink_to(outside / file if file == "run.toml" else base / "secret")
    (runs / "huge").mkdir()
    with open(runs / "huge" / "run.toml", "wb") as file:
        file.truncate(100 * 2**20)
    (runs / "half").mkdir()
    (runs / "half" / "run.toml").write_text('kind = "run"\nform')
    (runs / "pipe").mkdir()
    os.mkfifo(runs / "pipe" / "run.toml")
    return runs


@pytest.fixture(scope="module")
def port(root):
    with served(root) as port:
        yield port


def test_the_page_needs_the_token_and_then_a_cookie(port):
    assert send(port, "GET", "/", token=None)[0] == 401
    assert send(port, "GET", "/", token="letters-and-digitz")[0] == 401
    status, headers, _ = send(port, "GET", f"/?token={TOKEN}", token=None)
    cookie = headers["set-cookie"]
    assert status == 303 and headers["location"] == "/" and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    status, headers, body = send(port, "GET", "/", token=None, headers={"cookie": cookie.split(";")[0]})
    assert status == 200 and body.startswith(b"<!DOCTYPE html>")
    assert "default-src 'self'" in headers["content-security-policy"] and headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1"}, 403),
        ({"host": "127.0.0.1.evil.example:{port}"}, 403),
        ({"host": "localhost:{port}"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "http://127.0.0.1:{port}"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-length": "99999999999"}, 413),
        ({"content-length": "-1"}, 400),
    ],
)
def test_another_page_is_not_answered(port, headers, status):
    given = {name: value.format(port=port) for name, value in headers.items()}
    assert send(port, "POST", "/api/runs", "{}", headers=given)[0] == status


def test_nothing_listens_but_on_this_machine(port):
    # The rest of 127.0.0.0/8 leads here too, but to nobody who listens there.
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), 2):
        pass


def test_all_of_a_list_lies_inside(port):
    status, found = ask(port, "runs")
    assert status == 200
    assert {row["id"] for row in found["rows"]} == {"good", "<img src=x onerror=alert(1)>", "ä" * 100, "half"}
    assert next(row for row in found["rows"] if row["id"] == "half")["status"].startswith("unreadable")


NAMES = [
    "../outside", "linked", "link-in", "link-metrics", "huge", "pipe", "/etc/passwd", "good/../../outside", "", ".",
    "..", "a" * 255, "a" * 100_000, "good\x00", "good/metrics.jsonl", "C:\\x", "%2e%2e/outside", "<script>", None, 3,
    ["good"], {"id": "good"}, True, "nothing", "\ud800", "good/./../good/../../secret",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:30])
@pytest.mark.parametrize("question", ["run", "flow", "sweep", "samples", "parameter"])
def test_a_name_that_leads_elsewhere_is_one_line(port, name, question):
    status, found = ask(port, question, {"id": name})
    assert status == 400 and set(found) == {"error"} and SECRET not in found["error"] and "\n" not in found["error"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:30])
def test_a_curve_of_elsewhere_is_one_line(port, name):
    status, found = ask(port, "series", {"wanted": [{"run": name, "metric": "loss"}]})
    assert status == 200 and set(found["curves"][0]) == {"error"} and SECRET not in found["curves"][0]["error"]


def test_a_run_below_another_name_is_found_and_none_outside(root):
    assert inside(root, "good") == root / "good" and readable(root / "good", root)
    assert not readable(root / "linked", root) and not readable(root / "huge", root)
    with pytest.raises(UnknownRunError):
        inside(root, "linked")


BODIES = ["", "[]", "3", "null", '"x"', "{", "{}" * 9, "[" * 100_000, '{"id":' * 5_000, "\xff", "NaN", '{"a":1e999}']


def hostile(rng, count):
    """Requests that nobody who means well would make."""
    methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"]
    words = ["..", ".", "", "api", "static", "run", "%2e%2e", "%00", "etc", "passwd", "<script>", "a" * 255, "run.toml",
             "series", "runs", "playground", "landscape", "index.html", "good", "\\", "%ff", "state"]  # fmt: skip
    for _ in range(count):
        path = "/" + "/".join(words[i] for i in rng.integers(0, len(words), rng.integers(0, 5)))
        if rng.random() < 0.3:
            path = f"/api/{words[rng.integers(0, len(words))]}"
        headers = {}
        if rng.random() < 0.2:
            headers["host"] = ["evil", "localhost", "", "127.0.0.1:99999"][rng.integers(0, 4)]
        if rng.random() < 0.1:
            headers["origin"] = "http://evil"
        body = (
            BODIES[rng.integers(0, len(BODIES))] if rng.random() < 0.7 else f'{{"id": "{words[rng.integers(0, 22)]}"}}'
        )
        if rng.random() < 0.01:
            body = " " * (MOST_BYTES + 1)
        yield (
            methods[rng.integers(0, len(methods))],
            path,
            body,
            headers,
            TOKEN if rng.random() < 0.8 else "wrong-token",
        )


def assaulted(port, root, rng, count):
    before = sorted(str(file) for file in root.parent.rglob("*"))
    for method, path, body, headers, token in hostile(rng, count):
        try:
            status, _, answer = send(port, method, path, body.encode("utf-8", "replace"), token, headers)
        except ValueError:
            continue  # one that http.client itself refuses
        except ConnectionError:
            continue  # the server has closed on it
        assert status < 500, (method, path, body[:50], answer[:200])
        assert SECRET.encode() not in answer
    assert sorted(str(file) for file in root.parent.rglob("*")) == before
    assert ask(port, "runs")[0] == 200


def test_hostile_requests_find_nothing_and_stop_nothing(port, root, rng):
    assaulted(port, root, rng, 300)


@pytest.mark.slow
def test_ten_thousand_hostile_requests_find_nothing_and_stop_nothing(port, root, rng):
    assaulted(port, root, rng, 10_000)


def test_bytes_that_are_no_request_are_survived(port):
    for content in (
        b"\x00" * 1000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5000,
        b"POST /api/runs HTTP/1.1\r\nhost: ",
        b"G" * 70_000,
    ):
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.settimeout(5)
            try:
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
                assert b" 500 " not in connection.recv(200)
            except OSError:
                pass
    assert ask(port, "runs")[0] == 200


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"problem": "__import__('os')", "methods": [{"name": "momentum"}]}, "the playground has"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum"}], "steps": 10**9}, "steps must be"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum"}], "steps": True}, "steps must be"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum"}] * 7}, "methods go at once"),
        ({"problem": "quadratic-2d", "methods": [{"name": "os:system"}]}, "a method is one of"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum", "settings": {"momentum": "0.9"}}]}, "real"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum", "settings": {"momentum": 1e300}}]}, "less than"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum", "settings": {"x": 1}}]}, "no hyperparameter"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum"}], "start": [1e300, 0]}, "start must be"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum"}], "start": "1,2"}, "start must be"),
        ({"problem": "quadratic-2d", "methods": [{"name": "momentum"}], "seed": -1}, "seed must be"),
    ],
)  # fmt: skip
def test_the_playground_computes_nothing_but_its_own(port, asked, told):
    status, found = ask(port, "playground", asked)
    assert status == 400 and told in found["error"]


def test_a_root_that_is_none_and_a_port_that_is_taken_are_one_line(tmp_path, port):
    with pytest.raises(InputError, match="is not a directory"):
        tw.web.serve(tmp_path / "none")
    with pytest.raises(InputError, match=f"port {port} is taken"):
        tw.web.serve(tmp_path, port=port)
    with pytest.raises(InputError, match="token must be"):
        tw.web.serve(tmp_path, token="a b")


def test_without_the_extra_the_command_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['starlette'] = None; from thalweg.cli import main; main(['view', sys.argv[1]])"
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert (
        found.returncode == 2
        and found.stderr == 'error: thalweg view needs starlette and uvicorn: pip install "thalweg[web]"\n'
    )


def test_thousand_draws_of_a_token_differ():
    from thalweg.web._guard import new_token

    assert len({new_token() for _ in range(1000)}) == 1000 and np.all([len(new_token()) >= 20])
