"""A method's hyperparameters are what it was built from, and build it again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.rows import quick
from thalweg._methods.table import find_row
from thalweg.schemes import Draws

ROWS = quick(tw.table())
# Numbers that are what is left after a step, from 0 to 1.
FADING = {"momentum", "beta", "beta1", "beta2", "adam_beta1", "adam_beta2"}


def pulled(x):
    """Neither quadratic nor symmetric."""
    return jnp.sum(jnp.cosh(x - 0.3)) + 0.5 * jnp.sum(x[1:] * x[:-1])


def drawn(rng, name):
    if name == "max_gradients":
        return int(rng.integers(1, 1000))
    if name == "p":
        return 2.0 + 10.0 ** rng.uniform(-5, 1)
    return 1.0 - rng.uniform() ** 3 if name in FADING else 10.0 ** rng.uniform(-5, 1)


@pytest.mark.parametrize("row", ROWS)
def test_building_and_reading_are_inverse(row, rng):
    for _ in range(25):
        given = {name: drawn(rng, name) for name in row.defaults}
        method = row.build(None, **given)
        read = method.hyperparameters
        assert list(read)[: len(given)] == list(given) and set(read) - {"mass"} == set(given)
        assert read.get("mass", 1.0) == 1.0
        for name, value in given.items():
            assert read[name] == pytest.approx(value, rel=1e-14), name
        again = row.build(None, **{name: read[name] for name in given})
        for one, other in zip(jax.tree.leaves(method), jax.tree.leaves(again), strict=True):
            # At a momentum within 1e-8 of 1 the friction loses digits: it is all in 1 - momentum.
            loss = max([1.0, *(1.0 / (1.0 - given[name]) for name in FADING & set(given))])
            np.testing.assert_allclose(other, one, rtol=1e-14 * max(loss, 1.0))


@pytest.mark.parametrize("row", [row for row in ROWS if "learning_rate" in row.values[0].defaults])
def test_a_change_of_learning_rate_leaves_the_momentum(row, rng):
    for _ in range(10):
        given = {name: drawn(rng, name) for name in row.defaults}
        new = drawn(rng, "learning_rate")
        moved = row.build(None, **given).with_learning_rate(new).hyperparameters
        assert moved["learning_rate"] == pytest.approx(new, rel=1e-14)
        for name in FADING & set(given):
            assert moved[name] == pytest.approx(given[name], rel=1e-14)


@pytest.mark.parametrize("row", ROWS)
def test_other_values_make_the_method_that_is_built_from_them(row, rng):
    given, other = ({name: drawn(rng, name) for name in row.defaults} for _ in range(2))
    changed = dict(list(other.items())[-1:])
    moved = row.build(None, **given).with_hyperparameters(**changed)
    expected = row.build(None, **(given | changed))
    assert jax.tree.structure(moved) == jax.tree.structure(expected)
    for one, two in zip(jax.tree.leaves(moved), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9)


def moderate(rng, name):
    """A value in range at which a few steps stay near the start."""
    if name == "max_gradients":
        return int(rng.integers(10, 1000))
    if name == "p":
        return rng.uniform(2.1, 4.0)
    return rng.uniform(0.05, 0.95) if name in FADING else 10.0 ** rng.uniform(-3.0, -1.0)


@eqx.filter_jit
def third(method, x, key):
    """The state after three steps, of the same draws."""

    def step(i, state):
        return method.step(state, method.draw(key, x, i) if method.stochastic else Draws())

    return jax.lax.fori_loop(0, 3, step, method.init(x))


@pytest.mark.parametrize("x64", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize("row", ROWS)
def test_a_method_is_built_read_and_changed_in_the_same_numbers(row, x64, rng):
    """All three the same dictionary: a number that one of them takes otherwise shows in what is read, or in a step."""
    given, other = ({name: moderate(rng, name) for name in row.defaults} for _ in range(2))
    with jax.enable_x64(x64):
        eps = float(jnp.finfo(jnp.zeros(()).dtype).eps)
        method = row.build(pulled)
        built, moved = row.build(pulled, **given), row.build(pulled, **other).with_hyperparameters(**given)
        for one in (built, moved):
            read = one.hyperparameters
            for name, value in given.items():
                # A momentum is the difference of 1 and a friction.
                loss = eps if name in FADING else 0.0
                assert read[name] == pytest.approx(value, rel=10 * eps, abs=10 * loss), name
        x, key = jnp.array([0.6, -0.4, 0.9]), jax.random.key(1)
        ends = [jax.tree.leaves(third(one, x, key)) for one in (built, moved, method)]
    for one, same in zip(*ends[:2], strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(same), rtol=200 * eps, atol=200 * eps)
    if given:
        # The numbers are seen by the steps, but for those at which a motion ends.
        seen = [not np.allclose(one, same, rtol=1e-3) for one, same in zip(ends[0], ends[2], strict=True)]
        assert any(seen) or row.scheme.controlled


def test_other_values_are_checked():
    method = tw.momentum(None, 0.1, 0.9)
    for wrong, says in (({"momentums": 0.5}, "did you mean 'momentum'"), ({"momentum": 1.5}, "must be less than 1"),
                        ({"learning_rate": 0.0}, "must be greater than 0")):  # fmt: skip
        with pytest.raises(tw.InputError, match=says):
            method.with_hyperparameters(**wrong)


def test_a_mass_only_rescales():
    law = tw.HeavyBall(None, friction=0.6, mass=2.5)
    method = tw.Method(law, tw.Leapfrog(), 0.3)
    half = 0.6 * 0.3 / (2 * 2.5)
    read = method.hyperparameters
    assert read["momentum"] == pytest.approx((1 - half) / (1 + half), rel=1e-15)
    assert read["learning_rate"] == pytest.approx(0.3**2 / 2.5 / (1 + half), rel=1e-15)
    moved = method.with_learning_rate(0.02)
    assert moved.dynamics.mass == 2.5
    assert moved.hyperparameters["momentum"] == pytest.approx(read["momentum"], rel=1e-14)
    assert moved.hyperparameters["learning_rate"] == pytest.approx(0.02, rel=1e-14)


def test_the_dictionary_of_the_mission():
    """h = sqrt(2 alpha / (1 + beta)) and lambda h = 2 (1 - beta) / (1 + beta): mission A7."""
    method = tw.momentum(None, 0.02, 0.6)
    h = float(method.step_size)
    assert h == pytest.approx(np.sqrt(0.04 / 1.6), rel=1e-15)
    assert float(method.dynamics.friction) * h == pytest.approx(0.5, rel=1e-15)


def test_a_schedule_has_no_learning_rate():
    method = tw.Method(tw.HeavyBall(None, 1.0), tw.Leapfrog(), lambda step: 0.1)
    assert set(method.hyperparameters) == {"step_size", "friction", "mass"}
    with pytest.raises(tw.InputError, match="HeavyBall by Leapfrog has no learning rate"):
        method.with_learning_rate(0.1)


@pytest.mark.parametrize("row", [row for row in ROWS if row.values[0].defaults])
def test_a_wrong_name_is_refused_with_the_right_one(row):
    name = next(iter(row.defaults))
    with pytest.raises(tw.InputError, match=f"{row.name} has no hyperparameter '{name}s'; did you mean '{name}'"):
        row.build(None, **{f"{name}s": 0.1})


@pytest.mark.parametrize("row", ROWS)
def test_numbers_that_no_law_has_are_refused(row):
    for name in row.defaults:
        for value in (-1.0, np.nan, np.inf):
            with pytest.raises(tw.InputError, match=f"{name} must be"):
                row.build(None, **{name: value})


def test_hyperparameters_are_traced():
    read = jax.jit(lambda a, b: tw.momentum(None, a, b).hyperparameters)(0.1, 0.9)
    assert read["momentum"] == pytest.approx(0.9, rel=1e-14)
    slope = jax.grad(lambda a: tw.momentum(None, a, 0.9).step_size)(jnp.asarray(0.2))
    assert slope == pytest.approx(0.5 * np.sqrt(2 / 1.9 / 0.2), rel=1e-13)


def test_of_a_method_that_sets_its_own_steps_they_are_what_its_user_sets():
    given = {"tolerance": 1e-4, "max_gradients": 50, "relative": 0.5}
    auto = find_row("auto").build(None, **given)
    assert auto.hyperparameters == given and isinstance(auto.hyperparameters["max_gradients"], int)
    other = auto.with_hyperparameters(max_gradients=70)
    assert other.hyperparameters == given | {"max_gradients": 70}
    assert find_row("chebyshev").build(None).hyperparameters == {}
    with pytest.raises(
        tw.InputError, match="no hyperparameter 'step_size'; choose one of: max_gradients, relative, tolerance"
    ):
        auto.with_hyperparameters(step_size=2.0)
