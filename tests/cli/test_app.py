"""What holds for every command: help without JAX, results on stdout alone, one line for an error."""

import os
import pty
import re
import subprocess
import sys

import pytest

import thalweg as tw
from thalweg.cli import _app

COMMANDS = ("compare", "run", "sample", "resume", "list", "show", "export", "table", "translate", "verify", "claims")
HELP = """
import sys
from thalweg.cli._app import _status
for arguments in (["--help"], ["--version"], [], *([name, "--help"] for name in sys.argv[1:])):
    assert _status(arguments) == 0, arguments
loaded = {"jax", "jaxlib", "equinox", "numpy", "optax", "scipy", "matplotlib"} & set(sys.modules)
assert not loaded, loaded
"""


def test_help_and_version_import_no_jax(shell, place):
    (place / "all.py").write_text(HELP)
    done = shell(f"PYTHON all.py {' '.join(COMMANDS)}")
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert f"Usage: thalweg {command}" in done.stdout
    assert f"\n{tw.__version__}\n" in done.stdout
    assert "--learning-rate" in done.stdout


def test_help_in_a_process_of_its_own_imports_no_jax(shell):
    done = shell("PYTHON -X importtime -m thalweg --help")
    assert done.returncode == 0
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "cyclopts" in imported
    assert not imported & {"jax", "jaxlib", "equinox", "numpy", "scipy"}


def test_help_names_every_command(thalweg):
    outcome = thalweg("--help")
    assert outcome.err == ""
    listed = re.findall(r"^\W*([a-z]+) +[A-Z]", outcome.out, re.MULTILINE)
    assert set(COMMANDS) <= set(listed)


@pytest.fixture
def recorded(thalweg):
    thalweg("run", "rosenbrock", "--steps", 3, "--learning-rate", 1e-3, "--out", "run")


@pytest.mark.parametrize("line", ["show run", "list . --json", "claims --help"])
def test_a_reader_that_has_gone_is_no_error(line, recorded, shell):
    done = shell(f"THALWEG {line} | true")
    assert (done.stdout, done.stderr) == ("", "")


def test_the_head_of_a_result(recorded, shell):
    done = shell("THALWEG show run --json | head -2")
    assert (done.stdout, done.stderr) == ("[\n {\n", "")


def on_a_terminal(**more):
    """What `thalweg show run` writes to a terminal of its own."""
    leader, follower = pty.openpty()
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), TERM="xterm-256color") | more
    with subprocess.Popen([sys.executable, "-m", "thalweg", "show", "run"], stdout=follower, env=env) as process:
        os.close(follower)
        parts = []
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:
                break
            if not part:
                break
            parts.append(part)
    os.close(leader)
    assert process.returncode == 0
    return b"".join(parts).decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-8]|4[0-8]|9[0-7])[0-9;]*m")


def test_no_colour_where_it_is_not_wanted(recorded, shell):
    assert not COLOUR.search(on_a_terminal(NO_COLOR="1"))
    piped = shell("THALWEG show run")
    assert "\x1b" not in piped.stdout
    assert "momentum" in piped.stdout


def test_what_nobody_foresaw_is_one_line_and_status_1(thalweg, monkeypatch):
    def broken():
        raise RuntimeError("a bug\nof ours")

    monkeypatch.setattr(tw, "table", broken)
    outcome = thalweg("table", status=1)
    assert outcome.out == ""
    assert outcome.err == "error: RuntimeError: a bug of ours (THALWEG_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("THALWEG_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="a bug"):
        _app._status(["table"])


def test_main_exits_with_the_status(monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        _app.main(["run", "rosenbrok"])
    assert caught.value.code == 2
    monkeypatch.setattr(sys, "argv", ["thalweg", "--version"])
    with pytest.raises(SystemExit) as caught:
        _app.main()
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{tw.__version__}\n"


def test_a_warning_is_one_line_once_and_names_its_place_where_it_is_not_ours(shell, place):
    (place / "mine.py").write_text(
        "import warnings\nimport jax.numpy as jnp\nimport numpy as np\nx0 = jnp.ones(2)\n\n\n"
        "def f(x):\n    warnings.warn('mine')\n    return jnp.sum((x - np.random.rand()) ** 2)\n"
    )
    done = shell("THALWEG run mine:f --start mine:x0 -m gradient_descent:learning_rate=0.1 --steps 2")
    assert done.returncode == 0
    first, second, *rest = done.stderr.splitlines()
    assert re.fullmatch(r"warning: mine \(.*mine\.py:8\)", first)
    assert second.startswith("warning: the objective draws random numbers of NumPy or Python, of which")
    assert not any(line.startswith("warning: ") for line in rest)
