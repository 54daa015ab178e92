"""thalweg table."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import thalweg as tw
from thalweg._methods.table import find_row


@pytest.mark.parametrize("many", [6, pytest.param(None, marks=pytest.mark.slow)], ids=["the first", "all"])
def test_json_is_the_contract(thalweg, monkeypatch, many):
    rows = tw.table()[:many]
    monkeypatch.setattr(tw, "table", lambda: rows)
    outcome = thalweg("table", "--json")
    assert outcome.err == ""
    assert [row["name"] for row in outcome.rows] == [row.name for row in rows]
    keys = ("name", "aliases", "dynamics", "scheme", "order", "gradients_per_step", "stability", "reference")
    for row in outcome.rows:
        assert tuple(row) == keys
        assert isinstance(row["aliases"], list)
        assert isinstance(row["order"], int)
        assert isinstance(row["gradients_per_step"], int)


def test_a_table_of_every_method(thalweg, monkeypatch):
    # Stability limits take a second a row; the other test has them all.
    rows = tw.table()[:2]
    monkeypatch.setattr(tw, "table", lambda: rows)
    outcome = thalweg("table")
    assert outcome.err == ""
    for row in rows:
        assert row.name in outcome.out
    assert "gradients" in outcome.out and "stability" in outcome.out


@pytest.mark.slow
def test_processes_work_out_what_one_does(shell):
    rows = json.loads(shell("THALWEG table --json").stdout)
    assert [row["name"] for row in rows] == [row.name for row in tw.table()]
    for row in rows[::9]:
        assert row == find_row(row["name"]).as_dict()


@pytest.mark.skipif(sys.platform != "linux", reason="processes of a group are looked up in /proc")
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda by: by.name)
def test_nothing_goes_on_without_the_command(place, by):
    command = [sys.executable, "-c", "from thalweg.cli import main; main(['table'])"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _until(lambda: len(_of_group(process.pid)) > 1)
        process.send_signal(by)
        process.communicate(timeout=60)
        _until(lambda: not _of_group(process.pid))
    assert process.returncode == (130 if by == signal.SIGINT else -by)


def _of_group(group):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(stat.parent.name)
    return found


def _until(true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("half a minute has passed")
