"""Kinds of run directories: one table, a format number, and what was written before either."""

import importlib
import operator
import re
import shutil
import sys
import tomllib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._records.kinds import FORMAT, KINDS, Kind, read_config, stamped, write_config
from thalweg.cli._app import _status

# As version 0.1.0 wrote them, by the command line and a recorder, before run.toml said its kind.
BEFORE = Path(__file__).parent / "before_kinds"
OLD = ("run", "samples", "recorded")
OURS = (*OLD, "sweep")
F = lambda x: 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2)  # noqa: E731
X0 = jnp.array([1.0, -2.0])
BATH = tw.Method(tw.UnderdampedLangevin(F, friction=1.0, temperature=1.0), tw.Splitting("BAOAB"), 0.2)


@pytest.fixture
def before(tmp_path, monkeypatch):
    """Copies of the old directories, and the module that they name."""
    shutil.copytree(BEFORE, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    monkeypatch.syspath_prepend(tmp_path / "old")
    monkeypatch.delitem(sys.modules, "valleys", raising=False)
    return tmp_path / "old"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory of each kind."""
    place = tmp_path_factory.mktemp("made")
    tw.run(tw.momentum(F, 0.1, 0.5), X0, 4, out=place / "run")
    tw.sample(BATH, X0, 8, 2, 2, out=place / "samples", progress=False)
    with tw.Recorder(place / "recorded", tw.Hyperparameters(0.1)) as recorder:
        recorder.log(loss=1.0)
    tw.sweep(lambda rate: tw.gradient_descent(F, rate), {"rate": [0.1, 0.2]}, X0, 4, out=place / "sweep")
    return place


@pytest.fixture
def each(made, tmp_path):
    """Copies of them."""
    return Path(shutil.copytree(made, tmp_path / "made"))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_the_table_names_is_there(kind):
    for what in ("read", "summary", "show", "export", "derived", "resume"):
        if (found := getattr(kind, what)) is not None:
            module, _, name = found.partition(":")
            assert callable(getattr(importlib.import_module(f"thalweg.{module}"), name))
    assert callable(operator.attrgetter(kind.reader.removeprefix("tw."))(tw))


def test_run_toml_begins_with_kind_and_format(each):
    for name in OURS:
        text = (each / name / "run.toml").read_text()
        assert text.startswith(f'kind = "{name}"\nformat = {FORMAT}\n')
        assert not {"sampled", "recorded", "sweep"} & set(tomllib.loads(text)["run"])


def test_a_new_kind_is_an_entry(each, monkeypatch):
    """Read, listed, shown and exported by whoever asks the table."""
    calls = []

    def noted(*arguments):
        calls.append(arguments)
        return {"path": "seen", "status": "told"}

    monkeypatch.setattr("thalweg._records.shown.run_row", noted)
    of_runs = KINDS["run"]
    told = Kind(**(vars(of_runs) | {"name": "told", "noun": "a tale", "reader": "tw.read_tale"}))
    monkeypatch.setitem(KINDS, "told", told)
    (each / "told").mkdir()
    write_config(each / "told", read_config(each / "run") | {"kind": "told"})
    assert told.call("summary", each / "told", {}) == {"path": "seen", "status": "told"}
    assert calls == [(each / "told", {})]
    with pytest.raises(tw.InputError, match=r"told holds a tale, not a run; read it with tw\.read_tale"):
        tw.Run.load(each / "told")


@pytest.mark.parametrize(
    ("kind", "format", "message"),
    [
        ("run", FORMAT + 1, rf"has format {FORMAT + 1}, and this thalweg reads formats up to {FORMAT}; read it with "
         r"thalweg 9\.1\.0$"),
        ("dream", FORMAT + 1, "read it with thalweg 9.1.0"),
        ("sampels", FORMAT, "is of an unknown kind, 'sampels'; did you mean 'samples'?"),
        ("run", "new", "says no format, a whole number, but 'new'"),
        ("run", -1, "says no format, a whole number, but -1"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(kind, format, message, tmp_path, capsys):
    shown = f'"{format}"' if isinstance(format, str) else format
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.toml").write_text(f'kind = "{kind}"\nformat = {shown}\n[run]\nversion = "9.1.0"\n')
    for read in (tw.Run.load, tw.read_samples, read_config):
        with pytest.raises(tw.InputError, match=message) as caught:
            read(tmp_path / "a")
        assert "\n" not in str(caught.value)
    for command in ("show", "resume"):
        assert _status([command, str(tmp_path / "a")]) == 2
        assert re.search(message, capsys.readouterr().err.rstrip())
    assert _status(["list", str(tmp_path), "--json"]) == 0
    assert "unreadable: " in capsys.readouterr().out


def test_one_kind_is_not_taken_for_another(each):
    cases = {
        "run": lambda path: tw.run(tw.momentum(F, 0.1, 0.5), X0, 9, out=path, resume=True),
        "samples": lambda path: tw.sample(BATH, X0, 9, 2, 2, out=path, resume=True, progress=False),
        "recorded": lambda path: tw.Recorder(path, tw.Hyperparameters(0.1), resume=True),
        "sweep": lambda path: tw.sweep(
            lambda rate: tw.gradient_descent(F, rate), {"rate": [0.1, 0.2]}, X0, 4, out=path, resume=True
        ),
    }
    files = {file: file.read_bytes() for file in each.rglob("*") if file.is_file()}
    for wanted, go_on in cases.items():
        for name in OURS:
            kind = KINDS[name]
            if name != wanted:
                message = f"{each / name} holds {kind.noun}, not {KINDS[wanted].noun}; go on with "
                message += kind.onward(each / name)
                with pytest.raises(tw.InputError, match=re.escape(message)):
                    go_on(each / name)
    assert files == {file: file.read_bytes() for file in each.rglob("*") if file.is_file()}


def test_what_was_written_before_has_its_kind(before):
    for name in OLD:
        config = read_config(before / name)
        assert (config["kind"], config["format"]) == (name, 0)
    run = tw.Run.load(before / "run")
    assert (run.status, run.steps, len(run.trace), set(run.final.position)) == ("finished", 6, 3, {"b", "w"})
    assert tw.read_samples(before / "samples")["posterior"]["w"].shape == (2, 6, 2, 2)
    recorded = tw.Run.load(before / "recorded")
    assert recorded.final.position["a"].tolist() == [2.0, 2.0] and recorded.trace is None


def test_what_was_written_before_is_listed_shown_and_exported(before, capsys):
    assert _status(["list", "."]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in OLD) and "unreadable" not in printed
    for name in OLD:
        assert _status(["show", name]) == 0
        assert _status(["export", name, f"{name}.csv"]) == 0
    assert "stability_margin" not in (before / "recorded.csv").read_text()
    assert _status(["resume", "recorded"]) == 2
    assert "was recorded from another loop; go on there with tw.Recorder('recorded', ..., resume=True)" in (
        capsys.readouterr().err
    )


def test_a_run_that_was_begun_before_goes_on(before):
    """To what one that is begun now comes to, with the look-ahead point worked out from its raw leaves."""
    import valleys

    start = valleys.start()
    lookahead = tw.Run.load("run").final.lookahead
    whole = tw.run(tw.nesterov(valleys.bowl, 0.1, 0.5), start, 9, record=("loss", "speed"))
    half = tw.run(tw.nesterov(valleys.bowl, 0.1, 0.5), start, 6)
    assert _status(["resume", "run", "--steps", "9", "--trust"]) == 0
    after = tw.Run.load("run")
    for name in start:
        # Another processor may round each of the first steps otherwise.
        np.testing.assert_allclose(lookahead[name], half.final.lookahead[name], rtol=1e-12)
        np.testing.assert_allclose(after.final.position[name], whole.final.position[name], rtol=1e-12)
    np.testing.assert_allclose(after.metrics["loss"], whole.metrics["loss"], rtol=1e-10)
    text = Path("run/run.toml").read_text()
    assert text.startswith(f'kind = "run"\nformat = {FORMAT}\n')
    assert tomllib.loads(text)["source"] == tomllib.loads((BEFORE / "run" / "run.toml").read_text())["source"]


@pytest.mark.slow
def test_samples_and_rows_that_were_begun_before_go_on(before):
    kept = tw.read_samples("samples")["posterior"]["w"].values.copy()
    assert _status(["resume", "samples", "--draws", "9", "--trust"]) == 0
    np.testing.assert_array_equal(tw.read_samples("samples")["posterior"]["w"].values[:, :6], kept)
    with tw.Recorder("recorded", tw.Hyperparameters(0.1, 0.9), "a bowl", resume=True) as recorder:
        recorder.log(loss=0.25, parameters={"a": np.zeros(2)})
    assert recorder.run.metrics["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]
    for name in ("samples", "recorded"):
        config = tomllib.loads(Path(name, "run.toml").read_text())
        assert (config["kind"], config["format"]) == (name, FORMAT)


def test_one_reads_what_it_may_alone(each):
    readers = {kind.reader: operator.attrgetter(kind.reader.removeprefix("tw."))(tw) for kind in KINDS.values()}
    for name in OURS:
        for reader, read in readers.items():
            if reader == KINDS[name].reader:
                read(each / name)
            else:
                message = f"holds {KINDS[name].noun}, not .*; read it with {KINDS[name].reader}"
                with pytest.raises(tw.InputError, match=message):
                    read(each / name)


def test_a_kind_that_there_is_not_is_no_stamp():
    with pytest.raises(KeyError):
        stamped("dream", {})


def test_what_is_damaged_before_there_were_sums_is_one_line_too(before, capsys):
    """Only what goes wrong tells of it."""
    text = Path("run/run.toml").read_text()
    for damage in (
        "",
        text.replace("[method]", "[methods]"),
        text.replace("dtype", "dtipe"),
        text.replace("path", "p"),
    ):
        Path("run/run.toml").write_text(damage)
        for command in (["show", "run"], ["export", "run", "out.npz"], ["list", "."]):
            assert _status(command) in ((0,) if command[0] == "list" else (0, 1, 2))
            said = capsys.readouterr().err
            assert "THALWEG_TRACEBACK" not in said and said.count("\n") <= 1
        Path("out.npz").unlink(missing_ok=True)
