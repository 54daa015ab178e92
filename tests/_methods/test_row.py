"""Rows of a user's own: made of a function, registered under names, refused in one line."""

import functools
import inspect
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from thalweg._methods.row import origin, row_of
from thalweg._methods.table import find_row
from thalweg.dynamics import AbstractFirstOrder, Phase, as_objective, coefficient, combine


class Shrinking(AbstractFirstOrder):
    """Descent with a pull to zero."""

    elementwise = True
    objective: Any = eqx.field(converter=as_objective)
    pull: Any = eqx.field(default=0.1, converter=coefficient)

    def rates(self, time, phase, evaluation):
        del time
        return Phase(combine((-1.0, evaluation.gradient), (-self.pull, phase.position)))


def shrinking(objective, step_size=0.1, pull=0.1):
    return tw.Method(Shrinking(objective, pull), tw.Euler(), step_size)


def by_rate(objective, learning_rate=0.1):
    return tw.Method(Shrinking(objective), tw.Euler(), learning_rate)


def bare(objective, step_size, pull=0.1, *, scheme="euler", stages=3):
    assert scheme == "euler" and isinstance(stages, int)
    return shrinking(objective, step_size, pull)


ROW = tw.Row("shrinking", shrinking, {"step_size": 0.1, "pull": 0.1}, aliases=("ridge",))


def test_a_registered_row_is_found_by_name_and_alias_and_stands_last():
    before = tw.table()
    assert tw.register(ROW) is ROW
    assert tw.table() == (*before, ROW)
    assert find_row("shrinking") is ROW and find_row("ridge") is ROW
    with pytest.raises(tw.InputError, match="method 'shrinkin' is unknown; did you mean 'shrinking'"):
        find_row("shrinkin")
    assert ROW.as_dict() == {
        "name": "shrinking", "aliases": ["ridge"], "dynamics": "Shrinking", "scheme": "Euler", "order": 1,
        "gradients_per_step": 1, "stability": f"step_size < {2 / 1.1:.6g} at pull=0.1", "reference": "",
    }  # fmt: skip


def test_the_rows_of_another_test_are_gone():
    assert "shrinking" not in {row.name for row in tw.table()}


def test_the_same_row_again_takes_the_place_of_the_first():
    tw.register(ROW)
    again = tw.register(tw.Row("shrinking", shrinking, {"step_size": 0.2, "pull": 0.1}))
    assert find_row("shrinking") is again and len([row for row in tw.table() if row.name == "shrinking"]) == 1
    # Its old alias is free.
    with pytest.raises(tw.InputError, match="method 'ridge' is unknown"):
        find_row("ridge")
    # A module that is loaded again has another function of the same name.
    names = {"__name__": __name__, "tw": tw, "Shrinking": Shrinking}
    exec(inspect.getsource(shrinking), names)
    assert names["shrinking"] is not shrinking
    tw.register(tw.Row("shrinking", names["shrinking"], {"step_size": 0.1, "pull": 0.1}))


def made(law):
    return lambda objective, step_size: tw.Method(law(objective), tw.Euler(), step_size)


def test_what_a_function_was_made_of_tells_it_from_another():
    assert origin(made(Shrinking)) == origin(made(Shrinking)) != origin(made(tw.GradientFlow))
    first, second = functools.partial(shrinking, pull=0.1), functools.partial(shrinking, pull=0.2)
    assert origin(first) == origin(functools.partial(shrinking, pull=0.1)) != origin(second)


def wrong(**changes):
    return lambda: tw.register(
        tw.Row(**{"name": "mine", "make": shrinking, "defaults": {"step_size": 0.1}} | changes)
    )  # fmt: skip


def taken_twice():
    tw.register(ROW)
    tw.register(tw.Row("shrinking", made(Shrinking), {"step_size": 0.1}))


def alias_taken():
    tw.register(ROW)
    tw.register(tw.Row("other", shrinking, {"step_size": 0.1}, aliases=("ridge",)))


REFUSED = {
    "no row": (lambda: tw.register(shrinking), "row must be a tw.Row, but is"),
    "a name of ours": (wrong(name="momentum"), "row 'momentum': the name 'momentum' is taken, by another method"),
    "an alias of ours": (wrong(name="gd"), "row 'gd': the name 'gd' is taken, by an alias of gradient_descent"),
    "an alias that is taken": (alias_taken, "row 'other': the name 'ridge' is taken, by an alias of shrinking"),
    "a row that is taken": (taken_twice, "row 'shrinking': the name is taken, by another row that was registered"),
    "a name that cannot be typed": (wrong(name="my row"), "a name is made of letters, digits and _, but one is 'my ro"),
    "a default that is none": (wrong(defaults={"step_size": "0.1"}), "the default of step_size must be a number, but"),
    "a default that is true": (wrong(defaults={"step_size": True}), "the default of step_size must be a number, but"),
    "a default out of range": (wrong(defaults={"step_size": -1.0}), "step_size must be greater than 0, but is -1"),
    "another number": (wrong(defaults={"pace": 0.1}), "making it raised TypeError: shrinking() got an unexpected key"),
    "a step by another name": (
        wrong(make=by_rate, defaults={"learning_rate": 0.1}),
        "mine: the step of its method goes by the name step_size, but its numbers are learning_rate; name it step_size",
    ),
    "no method": (wrong(make=lambda f, **numbers: 3), "mine must give a tw.Method, but gives 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_registered_is_one_line_and_leaves_nothing(case, monkeypatch):
    call, message = REFUSED[case]
    # As a user calls it, without the type checker of the tests, which would come first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError) as found:
        call()
    assert message in str(found.value) and "\n" not in str(found.value)
    assert {row.name for row in tw.table()} & {"mine", "other", "my row"} == set()


def test_a_function_is_a_row_of_its_keyword_defaults():
    row = row_of(shrinking, "mine:shrinking")
    assert (row.name, row.defaults, row.needed) == ("mine:shrinking", {"step_size": 0.1, "pull": 0.1}, ())
    found = row.build(None, pull=0.3).hyperparameters
    assert found == pytest.approx({"step_size": 0.1, "pull": 0.3})


def test_a_number_without_a_default_is_needed_and_what_is_no_number_stays():
    row = row_of(bare, "mine:bare")
    assert (row.defaults, row.needed) == ({"pull": 0.1, "stages": 3}, ("step_size",))
    with pytest.raises(
        tw.InputError, match=r"needs step_size, of which it has no value .*; write mine:bare:step_size="
    ):
        _ = row.method
    # A count that was written as text is a count.
    assert row.at(step_size=0.2, stages=4.0).method.hyperparameters["step_size"] == pytest.approx(0.2)
    with pytest.raises(tw.InputError, match="mine:bare has no hyperparameter 'scheme'"):
        row.at(scheme=1.0)


def test_a_row_is_a_row_under_the_name_that_finds_it():
    assert row_of(ROW, "mine:ROW").name == "mine:ROW"
    assert row_of(functools.partial(shrinking, pull=0.5), "x:y").defaults == {"step_size": 0.1, "pull": 0.5}


@pytest.mark.parametrize("found", [3, None, tw.Euler(), tw.Euler, Shrinking, lambda: 1, lambda *, step_size: 1])
def test_what_is_neither_row_nor_function_is_refused(found):
    with pytest.raises(tw.InputError, match=r"method 'mine:it' must be a tw.Row, or a function \(objective, "):
        row_of(found, "mine:it")


def test_a_row_of_ones_own_is_swept_run_and_compared():
    row = tw.register(ROW)
    f = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 3.0]) * x**2), minimum=0.0)
    run = tw.run(row.build(f), jnp.ones(2), 7)
    np.testing.assert_allclose(run.final.position, [0.89**7, 0.69**7], rtol=1e-12)
    table = tw.compare({row.name: row.build(f)}, jnp.ones(2), 1e-6, 200)
    assert table["shrinking"].predicted_limit == pytest.approx(2 / 3.1, rel=1e-6)
    assert table["shrinking"].measured_limit == pytest.approx(2 / 3.1, rel=0.01)
