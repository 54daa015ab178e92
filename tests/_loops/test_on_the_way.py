"""Schedules and functions of time that leave their bounds on the way of a run are refused before it begins."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thalweg as tw
from thalweg import InputError


def bowl(x):
    return 0.5 * jnp.sum(x**2)


START = jnp.ones(2)


def too_short(step):
    """A decay to 0 at step 5 that goes on below it."""
    return 0.1 - 0.02 * step


SIZES = {
    "gradient_descent": lambda size: tw.gradient_descent(bowl, size),
    "sign_descent": lambda size: tw.sign_descent(bowl, size),
    "a second-order law": lambda size: tw.Method(tw.HeavyBall(bowl, 1.0), tw.Leapfrog(), size),
    "noise": lambda size: tw.Method(tw.OverdampedLangevin(bowl, 1.0), tw.EulerMaruyama(), size),
}
RATES = {
    "adam": lambda rate: tw.adam(bowl, rate),
    "lion": lambda rate: tw.lion(bowl, rate),
    "muon": lambda rate: tw.muon(lambda x: bowl(x["w"]) + bowl(x["b"]), rate),
}
TIMED = {
    "friction must be at least 0": lambda c: tw.Method(tw.HeavyBall(bowl, c), tw.Leapfrog(), 0.1),
    "friction must be greater than 0": lambda c: tw.Method(
        tw.UnderdampedLangevin(bowl, c, 1.0), tw.Splitting("BAOAB"), 0.1
    ),
    "temperature must be at least 0": lambda c: tw.Method(tw.OverdampedLangevin(bowl, c), tw.EulerMaruyama(), 0.1),
    "rate must be greater than 0": lambda c: tw.Method(tw.GradientFlow(bowl, rate=c), tw.Euler(), 0.1),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_step_size_below_0_is_refused_where_it_comes(name):
    with pytest.raises(InputError, match=r"^the step size at step 6 must be at least 0, but is -0\.02; make fewer"):
        tw.run(SIZES[name](too_short), START, 20, key=0)
    assert tw.run(SIZES[name](too_short), START, 6, key=0).status == "finished"


@pytest.mark.parametrize("name", RATES)
def test_a_learning_rate_below_0_is_refused_where_it_comes(name):
    x0 = {"w": jnp.ones((2, 2)), "b": START} if name == "muon" else START
    with pytest.raises(InputError, match=r"^the learning rate at step 6 must be at least 0, but is -0\.02; make fewer"):
        tw.run(RATES[name](too_short), x0, 20)
    assert tw.run(RATES[name](too_short), x0, 5).status == "finished"


@pytest.mark.parametrize("reason", TIMED)
def test_a_function_of_time_has_the_bounds_of_a_constant(reason):
    make = TIMED[reason]
    with pytest.raises(InputError, match=rf"^at time 1\.1 {reason}, but is -0\.1"):
        tw.run(make(lambda t: 1.0 - t), START, 20, key=0)
    # 0 is an end that a function may have.
    assert tw.run(make(lambda t: jnp.maximum(1.0 - t, 0.0)), START, 20, key=0).status == "finished"


def test_one_that_passes_below_0_between_its_ends_is_found():
    dip = optax.join_schedules([optax.constant_schedule(h) for h in (0.1, -0.05, 0.1)], [5, 6])
    with pytest.raises(InputError, match=r"^the step size at step 5 must be at least 0, but is -0\.05"):
        tw.run(tw.gradient_descent(bowl, dip), START, 21)


@pytest.mark.parametrize("schedule", [lambda k: jnp.log(2.0 - k), lambda k: 1.0 / (3.0 - k)], ids=["nan", "pole"])
def test_a_schedule_that_is_not_finite_is_refused(schedule):
    with pytest.raises(InputError, match=r"^the step size at step [23] must be finite"):
        tw.run(tw.gradient_descent(bowl, schedule), START, 4)


def test_a_decay_to_0_that_rounds_below_it_is_taken():
    with jax.enable_x64(False):
        rounded = lambda k: jnp.float32(0.9) - jnp.float32(0.1) * k  # noqa: E731
        assert float(rounded(9)) < 0
        assert tw.run(tw.gradient_descent(bowl, rounded), jnp.ones(2), 10).status == "finished"


def test_a_long_run_is_looked_at_at_some_of_its_steps():
    with pytest.raises(InputError, match=r"^the step size at step 1000000 must be at least 0, but is -0\.01"):
        tw.solve(tw.gradient_descent(bowl, lambda k: jnp.where(k < 999_950, 0.1, -0.01)), START, 1_000_001)


def test_the_times_of_a_law_are_those_of_its_schedule():
    law = tw.HeavyBall(bowl, lambda t: 1.0 - t)
    # The steps 0.05 + 0.1 + 0.15 + ... are 1.05 together after six.
    with pytest.raises(InputError, match=r"^at time 1\.05 friction must be at least 0, but is -0\.05"):
        tw.run(tw.Method(law, tw.Leapfrog(), lambda k: 0.05 * (k + 1)), START, 20)
    grid = tw.Method(law, tw.Leapfrog(), times=[0.0, 0.5, 1.0, 1.5, 2.0])
    with pytest.raises(InputError, match=r"^at time 1\.5 friction must be at least 0, but is -0\.5"):
        tw.run(grid, START)


def test_a_law_within_a_law_is_looked_at():
    rest = tw.AdamFlow(None, lambda t: 0.5 - t, 0.5, 5.0)
    law = tw.MuonFlow(lambda x: bowl(x["w"]) + bowl(x["b"]), 1.0, 1.0, others=rest)
    with pytest.raises(InputError, match=r"^at time 0\.6 rate must be greater than 0, but is -0\.1"):
        tw.run(tw.Method(law, tw.LieTrotter(), 0.1), {"w": jnp.ones((2, 2)), "b": START}, 20)


ENTRIES = {
    "solve": lambda method: tw.solve(method, START, 20),
    "compare": lambda method: tw.compare({"right": tw.gradient_descent(bowl, 0.1), "wrong": method}, START, out="cmp"),
    "sweep": lambda method: tw.sweep(lambda rate: method, {"rate": [0.1, 0.2]}, START, 20),
    "sample": lambda method: tw.sample(SIZES["noise"](method.step_size), START, draws=5, warmup=5, thin=2),
    "run": lambda method: tw.run(method, START, 20, out="run"),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_loop_looks_before_anything_is_written(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"^the step size at step 6 must be at least 0, but is -0\.02"):
        ENTRIES[entry](tw.gradient_descent(bowl, too_short))
    assert list(tmp_path.iterdir()) == []


def test_what_is_traced_passes():
    def end(rate):
        return tw.solve(tw.gradient_descent(bowl, lambda k: rate * (0.5 - 0.1 * k)), START, 4).final.position[0]

    expected = np.prod([1.0 - 0.2 * (0.5 - 0.1 * k) for k in range(4)])
    np.testing.assert_allclose([jax.jit(end)(0.2), jax.vmap(end)(jnp.array([0.2]))[0]], expected, rtol=1e-12)
    assert np.isfinite(jax.grad(end)(0.2))
