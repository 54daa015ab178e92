"""The page as one file, and the command that serves it."""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._errors import InputError
from thalweg.cli import main
from thalweg.web._page import SCRIPTS, STYLES, files

STATIC = Path(tw.web.__file__).parent / "static"


def bowl(x):
    return 0.5 * jnp.sum(x**2)


@pytest.fixture
def runs(tmp_path):
    for rate in (0.25, 0.5):
        tw.run(tw.momentum(bowl, rate, 0.5), jnp.ones(2), 30, out=tmp_path / "runs" / f"rate-{rate}", progress=False)
    return tmp_path / "runs"


def kept(file):
    found = re.search(r'<script type="application/json" id="kept">(.*?)</script>', file.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_file_has_all_that_it_shows_and_asks_for_nothing(runs, tmp_path):
    file = tw.web.write_page(runs, tmp_path / "new" / "report.html", "A </script> & B")
    content = file.read_text()
    data = kept(file)
    assert data["title"] == "A </script> & B" and data["runs"] == ["rate-0.25", "rate-0.5"]
    curve = data["answers"]['curve {"against":"step","metric":"loss","run":"rate-0.5"}']
    assert np.array_equal(curve["y"], tw.Run.load(runs / "rate-0.5").metrics["loss"])
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", content.split('id="kept"')[0])
    assert "<!-- s" not in content and file.stat().st_size < 400_000


def test_runs_of_several_places_are_one_page(runs, tmp_path):
    shutil.copytree(runs / "rate-0.5", tmp_path / "other" / "deep" / "mine")
    file = tw.web.write_page([runs / "rate-0.25", tmp_path / "other"], tmp_path / "a.html")
    assert kept(file)["runs"] == ["runs/rate-0.25", "other/deep/mine"]


def test_what_is_no_run_is_one_line(tmp_path, runs):
    with pytest.raises(InputError, match="is not a directory"):
        tw.web.write_page(tmp_path / "none", tmp_path / "a.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds none"):
        tw.web.write_page(tmp_path / "empty", tmp_path / "a.html")
    with pytest.raises(InputError, match="give the page a file name"):
        tw.web.write_page(runs, tmp_path)
    with pytest.raises(InputError, match="at least one"):
        tw.web.write_page([], tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def test_the_library_of_the_charts_is_what_its_makers_gave_out():
    sums = dict(line.split()[::-1] for line in (STATIC / "vendor" / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {"uPlot.iife.min.js", "uPlot.min.css"}
    for name, digest in sums.items():
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest
    assert "MIT License" in (STATIC / "vendor" / "uPlot.LICENSE").read_text()


def test_every_script_and_style_is_loaded_and_none_comes_from_elsewhere():
    there = {file.name for file in STATIC.rglob("*") if file.suffix in (".js", ".css")}
    assert there == {*SCRIPTS, *STYLES} <= set(files())
    for file in STATIC.glob("*"):
        if file.is_file():
            addresses = set(re.findall(r"https?://[^\s\"'`)]+", file.read_text())) - {"http://www.w3.org/2000/svg"}
            assert not addresses, (file.name, addresses)


def command(*arguments, status=0):
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    assert ended.value.code == status


def test_export_and_view_write_a_page(runs, tmp_path, capsys):
    command("export", runs / "rate-0.5", tmp_path / "one.html")
    assert kept(tmp_path / "one.html")["runs"] == ["rate-0.5"]
    command("view", runs, "--report", tmp_path / "all.html")
    assert kept(tmp_path / "all.html")["runs"] == ["rate-0.25", "rate-0.5"]
    capsys.readouterr()
    command("view", runs, "--report", tmp_path / "all.html", "--port", 1, status=2)
    command("view", runs, "--report", tmp_path / "all.html", "--open", status=2)
    command("view", tmp_path / "none", status=2)
    command("view", runs, "--start", "1,2", status=2)
    command("view", runs, "--objective", "rosenbrock", status=2)
    errors = capsys.readouterr().err.strip().split("\n")
    assert len(errors) == 5 and all(line.startswith("error: ") for line in errors)


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted(runs, tmp_path):
    (tmp_path / "mine.py").write_text("import jax.numpy as jnp\ndef bowl(x): return jnp.sum(x**2)\n")
    asked = [sys.executable, "-m", "thalweg", "view", str(runs), "--objective", "mine:bowl", "--start", "1,2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(asked, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as server:
        assert server.stdout is not None and server.stderr is not None
        address = server.stdout.readline().strip()
        headers = {"x-thalweg-token": address.partition("token=")[2], "content-type": "application/json"}
        where = address.partition("?")[0] + "api/landscape"
        request = urllib.request.Request(where, b'{"problem": "mine:bowl"}', headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.loads(answer.read())["curvatures"] == [2.0, 2.0]
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        assert "Traceback" not in server.stderr.read()
