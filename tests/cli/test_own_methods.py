"""Methods of a user's own at the command line, `module:factory`, wherever ours are taken; wrong ones are one line."""

import re
import shlex
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

MODULE = """
from typing import Any

import equinox as eqx, jax
import thalweg as tw
from thalweg.dynamics import AbstractFirstOrder, Phase, as_objective, coefficient, combine


class Shrinking(AbstractFirstOrder):
    elementwise = True
    objective: Any = eqx.field(converter=as_objective)
    pull: Any = eqx.field(default=0.1, converter=coefficient)

    def rates(self, time, phase, evaluation):
        return Phase(combine((-1.0, evaluation.gradient), (-self.pull, phase.position)))


def shrinking(objective, step_size=0.1, pull=0.1):
    return tw.Method(Shrinking(objective, pull), tw.Euler(), step_size)


def bare(objective, step_size, pull=0.1):
    return shrinking(objective, step_size, pull)


def by_rate(objective, learning_rate=0.1):
    return tw.Method(Shrinking(objective), tw.Euler(), learning_rate)


def warm(objective, step_size=0.1, temperature=1.0):
    return tw.Method(tw.UnderdampedLangevin(objective, 1.0, temperature), tw.Splitting("BAOAB"), step_size)


class Cubic(Shrinking):
    def rates(self, time, phase, evaluation):
        return Phase(jax.tree.map(lambda g: -(g**3), evaluation.gradient))


def cubic(objective, step_size=0.1):
    return tw.Method(Cubic(objective), tw.Euler(), step_size)


row = tw.register(tw.Row("shrunk", shrinking, {"step_size": 0.1, "pull": 0.2}))
three = 3


def fails(objective):
    raise RuntimeError("no licence")


def gives_three(objective):
    return 3
"""
BOWL = ("valleys:bowl", "--start", "valleys:x0")
NAMED = ("--objective", *BOWL)


@pytest.fixture
def own(place, monkeypatch):
    """A module of the user's in the working directory."""
    (place / "mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield place
    sys.modules.pop("mine", None)


def test_the_table_shows_those_that_are_named(thalweg, own):
    rows = thalweg("table", "-m", "mine:shrinking:pull=1", "-m", "mine:row", "-m", "gd", "--json").rows
    assert [row["name"] for row in rows] == ["mine:shrinking", "mine:row", "gradient_descent"]
    assert [row["stability"] for row in rows] == [
        "step_size < 1 at pull=1", f"step_size < {2 / 1.2:.6g} at pull=0.2", "learning_rate < 2",
    ]  # fmt: skip
    assert (rows[0]["dynamics"], rows[0]["order"], rows[0]["gradients_per_step"]) == ("Shrinking", 1, 1)
    assert "mine:shrinking" in thalweg("table", "-m", "mine:shrinking").out


def test_compare_suggests_its_step_and_keeps_a_run_that_is_resumed(thalweg, own):
    specs = ("-m", "mine:shrinking", "-m", "momentum", "--no-limits", "--max-gradients", 40, "--out", "all", "--json")
    entries = {row["method"]: row for row in thalweg("compare", *BOWL, *specs).rows}
    assert list(entries) == ["mine:shrinking", "momentum"]
    # Half the limit at the start's curvature, 10.
    assert entries["mine:shrinking"]["hyperparameters"]["step_size"] == pytest.approx(1 / 10.1, rel=1e-4)
    (row,) = thalweg("resume", "all/mine:shrinking", "--steps", 60, "--json", "-m", "mine:shrinking", *NAMED).rows
    assert (row["steps"], row["method"]) == (60, "mine:shrinking")
    (named,) = thalweg("compare", "all/mine:shrinking", "--json").rows
    assert "mine:shrinking" in str(named)


@pytest.mark.parametrize("way", [("mine:bare:step_size=0.05",), ("mine:shrinking", "--step-size", 0.05)])
def test_a_run_is_resumed_bit_for_bit_and_read_without_importing_it(thalweg, own, way):
    options = ("-m", *way, "--set", "pull=0.5", "--record", "loss", "--positions", 1)
    thalweg("run", *BOWL, *options, "--steps", 30, "--out", "whole")
    thalweg("run", *BOWL, *options, "--steps", 11, "--out", "part")
    sys.modules.pop("mine")
    for command in (("list", "."), ("show", "part"), ("export", "part", "part.csv")):
        thalweg(*command)
    assert "mine" not in sys.modules
    assert thalweg("list", ".", "--json").rows[0]["method"] == way[0].removesuffix(":step_size=0.05")
    name = way[0].removesuffix(":step_size=0.05")
    thalweg("resume", "part", "--steps", 30, "-m", name, *NAMED)
    one, other = tw.Run.load("whole"), tw.Run.load("part")
    np.testing.assert_array_equal(one.final.position, other.final.position)
    np.testing.assert_array_equal(one.trace.position, other.trace.position)
    exact = jnp.array([1.0, -2.0]) * (1 - 0.05 * (jnp.array([1.0, 10.0]) + 0.5)) ** 30
    np.testing.assert_allclose(one.final.position, exact, rtol=1e-12)


@pytest.mark.slow
def test_it_samples_and_is_shown_and_resumed_without_importing_more(thalweg, own):
    options = ("--draws", 20, "--warmup", 10, "--chains", 2, "--out", "draws")
    drawn = thalweg("sample", "gaussian", "-m", "mine:warm:step_size=0.2", *options, "--json").rows
    sys.modules.pop("mine")
    assert thalweg("show", "draws", "--json").rows == drawn and drawn[0]["exact_sd"] is not None
    assert "mine" not in sys.modules
    assert len(thalweg("resume", "draws", "--draws", 25, "--json", "--method", "mine:warm").rows) == len(drawn)
    assert tw.read_samples("draws").posterior.sizes["draw"] == 25


WRONG = {
    "mone:shrinking": "error: method 'mone:shrinking': there is no module 'mone'",
    "mine:shrinkin": "error: method 'mine:shrinkin': module 'mine' has no 'shrinkin'; did you mean 'shrinking'?",
    "mine:three": "error: method 'mine:three' must be a tw.Row, or a function (objective, **numbers) that gives a",
    "mine:Shrinking": "must be a tw.Row, or a function (objective, **numbers) that gives a tw.Method, but is <class",
    "mine:gives_three": "error: mine:gives_three must give a tw.Method, but gives 3",
    "mine:fails": "error: method 'mine:fails': making it raised RuntimeError: no licence",
    "mine:bare": "error: mine:bare needs step_size, of which it has no value of its own; write mine:bare:step_size=",
    "mine:by_rate": "goes by the name step_size, but its numbers are learning_rate; name it step_size",
    "mine:shrinking:pul=1": "error: mine:shrinking has no hyperparameter 'pul'; did you mean 'pull'?",
    "mine:shrinking:pull": "error: method 'mine:shrinking:pull': write mine:shrinking:name=value,name=value",
    "mine:shrinking:pull=x": "error: mine:shrinking: pull must be a number, but is 'x'",
    "mine:shrinking,pull=1": "write mine:name=value,name=value (yours is written module:factory:name=value,name=value)",
    "momentum:learning_rate": "error: method 'momentum:learning_rate': write momentum:name=value,name=value",
    "sgd-momentum:learning_rate": "write sgd-momentum:name=value,name=value",
    "mine:warm:step_size=-1": "error: step_size must be greater than 0, but is -1",
}


@pytest.mark.parametrize("spec", WRONG)
def test_what_is_wrong_is_one_line(thalweg, own, spec):
    outcome = thalweg("run", *BOWL, "-m", spec, status=2)
    assert WRONG[spec] in outcome.err and outcome.err.count("\n") == 1
    assert outcome.out == "" and not (own / "runs").exists()


def test_a_module_that_does_not_load_and_one_of_the_name_of_a_row(thalweg, own):
    (own / "crooked.py").write_text("1 / 0")
    outcome = thalweg("table", "-m", "crooked:thing", status=2)
    assert (
        outcome.err == "error: method 'crooked:thing': importing crooked raised ZeroDivisionError: division by zero\n"
    )
    (own / "nesterov.py").write_text("from mine import shrinking")
    (row,) = thalweg("table", "-m", "nesterov:shrinking", "--json").rows
    assert row["name"] == "nesterov:shrinking"
    sys.modules.pop("nesterov")


def test_what_draws_no_noise_samples_nothing(thalweg, own):
    outcome = thalweg("sample", "gaussian", "-m", "mine:shrinking", status=2)
    assert "mine:shrinking draws no noise, so it samples nothing; choose one of: " in outcome.err


def test_of_a_law_that_is_not_linear_no_step_is_suggested(thalweg, own):
    (row,) = thalweg("table", "-m", "mine:cubic", "--json").rows
    assert row["stability"] == "not told by a curvature: the law is not linear"
    outcome = thalweg("run", *BOWL, "-m", "mine:cubic", status=2)
    assert "mine:cubic needs a step_size: Cubic is not linear on a quadratic, so that no limit is known" in outcome.err
    assert thalweg("run", *BOWL, "-m", "mine:cubic:step_size=1e-4", "--steps", 5, "--json").rows[0]["steps"] == 5


@pytest.mark.slow
def test_verify_checks_a_method(thalweg, own):
    names = ("pure", "order", "limit", "tree", "vmap", "resume")
    fewer = [word for name in names for word in ("--leave-out", name)]
    outcome = thalweg("verify", "-m", "mine:shrinking", *fewer)
    assert outcome.out.startswith("mine:shrinking (thalweg): 7 passed, 6 not checked")
    assert thalweg("verify", "-m", "mine:shrinkin", status=2).err.endswith("did you mean 'shrinking'?\n")
    assert "leave out factory" in thalweg("verify", "optax:sgd", "-m", "momentum", status=2).err
    assert "an optimizer is needed, module:function, or --method" in thalweg("verify", status=2).err
    (own / "bad.py").write_text(TWICE)
    outcome = thalweg("verify", "-m", "bad:twice", *fewer[:2], *fewer[4:], "--json", status=1)
    assert [row["name"] for row in outcome.rows if row["status"] == "failed"] == ["order"]
    sys.modules.pop("bad")


TWICE = """
import thalweg as tw


class Twice(tw.schemes.AbstractScheme):
    order = 2

    def step(self, dynamics, state, step_size, draws=tw.schemes.Draws()):
        return tw.Euler().step(dynamics, state, step_size, draws)


def twice(objective, step_size=0.1):
    return tw.Method(tw.GradientFlow(objective), Twice(), step_size)
"""
PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "own_methods.md"
CONSOLE = re.compile(r"^```console\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def words(text):
    """Lines of words, without rules and blank lines."""
    return [line.split() for line in text.splitlines() if line.strip(" ─")]


def alike(one, other):
    """Equal, or numbers within a hundredth."""
    try:
        return float(one) == pytest.approx(float(other), rel=0.01)
    except ValueError:
        return one == other


@pytest.mark.slow
def test_the_command_lines_of_the_page_print_what_it_shows(thalweg, place, monkeypatch):
    text = PAGE.read_text("utf-8")
    (place / "mine.py").write_text(re.search(r"^```python\n(# mine.py\n.*?)^```", text, re.DOTALL | re.MULTILINE)[1])
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    shown = [part for block in CONSOLE.findall(text) for part in block.split("$ thalweg ")[1:]]
    assert len(shown) == 4
    for part in shown:
        command, _, expected = part.partition("\n")
        found = words(thalweg(*shlex.split(command)).out)
        assert len(found) == len(words(expected))
        for one, other in zip(words(expected), found, strict=True):
            assert len(one) == len(other)
            differ = [word for word, its in zip(one, other, strict=True) if not alike(word, its)]
            # A time of each row of the comparison, and of a run.
            assert len(differ) <= (command.startswith("compare") or one[0] in ("seconds", "compile_seconds")), part
    sys.modules.pop("mine")
