"""Any file of a directory flipped, cut or emptied: one line that names the directory, or the right numbers."""

import io
import json
import random
import re
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.cli._app import _status

KINDS = ("run", "samples", "sweep", "recorded")
RATES = {"rate": [0.1, 0.2]}


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2)


def swept(out, resume=False):
    tw.sweep(
        lambda rate: tw.gradient_descent(bowl, rate), RATES, jnp.ones(2), 6, out=out, resume=resume, progress=False
    )


def recorded(out, rows, resume=False):
    with tw.Recorder(out, resume=resume) as recorder:
        for k in range(rows):
            recorder.log(loss=1 / (k + 1), parameters={"w": np.full(3, k)})


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A directory of each kind."""
    root = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run = ("-m", "nesterov", "--learning-rate", "1e-3", "--steps", "60", "--positions", "10", "--out", "run")
        assert _status(["run", "rosenbrock", *run]) == 0
        few = ("--draws", "8", "--warmup", "2", "--chains", "2", "--out", "samples")
        assert _status(["sample", "gaussian", "-m", "baoab:step_size=0.3", *few]) in (0, 1)
        swept("sweep")
        recorded("recorded", 30)
    return root


class Reader:
    """What show and export say of a directory in the working directory."""

    def __init__(self, capsys):
        self._capsys = capsys

    def call(self, *arguments):
        self._capsys.readouterr()
        return _status(list(arguments)), *self._capsys.readouterr()

    def __call__(self, name):
        shown = self.call("show", name, "--json")
        Path("out.npz").unlink(missing_ok=True)
        written = self.call("export", name, "out.npz")
        return {"show": shown, "export": written}, Path("out.npz").read_bytes() if written[0] == 0 else b""

    def resume(self, name):
        try:
            if name in ("run", "samples"):
                return self.call("resume", name)
            swept(name, resume=True) if name == "sweep" else recorded(name, 1, resume=True)
        except (tw.InputError, OSError) as error:
            return 2, "", f"error: {error}\n"
        return 0, "", ""


def numbers(shown, exported):
    """Without times of the clock."""
    rows = [{name: value for name, value in row.items() if "second" not in name} for row in json.loads(shown[1])]
    with np.load(io.BytesIO(exported)) as arrays:
        return rows, {name: (arrays[name].dtype, arrays[name].tobytes()) for name in arrays.files}


@pytest.mark.parametrize("damages", [16, pytest.param(400, marks=pytest.mark.slow)])
def test_damage_is_one_line_or_changes_nothing(damages, good, tmp_path, monkeypatch, capsys, rng):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    look, draw, right, refused = Reader(capsys), random.Random(int(rng.integers(2**31))), {}, 0
    for name in KINDS:
        shutil.copytree(good / name, name)
        before = numbers(look(name)[0]["show"], look(name)[1])
        assert look.resume(name)[0] == 0
        found, exported = look(name)
        right[name] = before, numbers(found["show"], exported)
        shutil.rmtree(name)

    def judge(name, wanted):
        found, exported = look(name)
        for status, _, said in found.values():
            if status:
                assert re.fullmatch(rf"error: [^\n]*\b{name}\b[^\n]*\n", said) and "TRACEBACK" not in said, said
        if not any(status for status, _, _ in found.values()):
            assert numbers(found["show"], exported) == wanted
        return found["show"][0]

    for i in range(damages):
        name = KINDS[i % 4]
        shutil.copytree(good / name, name)
        file = draw.choice(sorted(path for path in Path(name).rglob("*") if path.is_file()))
        content = bytearray(file.read_bytes())
        how = draw.choice(("flip", "flip", "cut", "empty"))
        if how == "flip":
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        file.write_bytes(content if how == "flip" else content[: draw.randrange(len(content)) if how == "cut" else 0])
        refused += judge(name, right[name][0]) != 0
        assert look.call("list", ".", "--json")[0] == 0
        status, _, said = look.resume(name)
        if status:
            assert re.fullmatch(r"error: [^\n]+\n", said) and "TRACEBACK" not in said, said
        else:
            judge(name, right[name][1])
        shutil.rmtree(name)
    # Some damage, of what nobody reads, changes nothing.
    assert damages // 2 < refused <= damages
