"""Methods side by side: the counts, the budget, the regimes and the limits are what a loop by hand finds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.rows import flat, limited, quick, stepping
from thalweg._methods.probe import stable_limit
from thalweg._records.sweep import regime
from thalweg._side_by_side.limit import measured_limit

SPECTRUM = jnp.array([1.0, 3.0, 10.0])
F = tw.Objective(lambda x: 0.5 * jnp.sum(SPECTRUM * x**2), minimum=0.0)
X0 = jnp.array([1.0, -2.0, 0.5])
METHODS = {
    "gradient_descent": tw.gradient_descent(F, 0.1),
    "rk4": tw.Method(tw.GradientFlow(F), tw.RK4(), 0.2),
    "momentum": tw.momentum(F, 0.1, 0.6),
    "leapfrog": tw.leapfrog(F, 0.1, 0.6),
    "nesterov": tw.nesterov(F, 0.1, 0.6),
}


@pytest.fixture(scope="module")
def compared():
    return tw.compare(METHODS, X0, tolerance=1e-6, max_steps=400)


def by_hand(method, steps):
    """The loss at every step, one step at a time."""
    state, step = method.init(X0), eqx.filter_jit(lambda method, state: method.step(state))
    losses = [float(F.value(state.lookahead))]
    for _ in range(steps):
        state = step(method, state)
        losses.append(float(F.value(state.lookahead)))
    return np.array(losses)


@pytest.mark.parametrize("name", METHODS)
def test_gradients_to_the_tolerance(compared, name):
    method, entry = METHODS[name], compared[name]
    losses = by_hand(method, 150)
    steps = int(np.argmax(losses <= 1e-6 * losses[0]))
    assert entry.reached
    assert entry.steps == steps > 10
    assert entry.gradients == steps * {"rk4": 4}.get(name, 1) + (name == "leapfrog")
    assert entry.hyperparameters == method.hyperparameters
    assert entry.regime == regime(losses)
    run = compared.runs[name]
    assert entry.seconds > 0
    assert entry.seconds == pytest.approx(run.seconds * steps / run.steps, rel=1e-12)
    rows = min(len(losses), run.steps + 1)
    np.testing.assert_allclose(run.metrics["loss"][:rows], losses[:rows], rtol=1e-10, atol=1e-15)


def test_the_budget_is_one_of_gradients(compared):
    for name, run in compared.runs.items():
        assert run.gradients <= 400
        assert run.steps == {"rk4": 100, "leapfrog": 399}.get(name, 400)
    assert compared.budget == 400


def test_a_tolerance_that_is_not_met_takes_the_whole_budget():
    result = tw.compare({"slow": tw.gradient_descent(F, 1e-4), "rk4": METHODS["rk4"]}, X0, 1e-6, max_steps=42)
    assert (result["slow"].reached, result["slow"].gradients, result["slow"].steps) == (False, 42, 42)
    assert (result["rk4"].reached, result["rk4"].gradients, result["rk4"].steps) == (False, 40, 10)
    assert "> 42" in repr(result)


def test_without_a_known_minimum_the_tolerance_is_on_the_gradient():
    f = tw.Objective(F.fn)
    result = tw.compare({"gd": tw.gradient_descent(f, 0.1)}, X0, 1e-3, max_steps=200, limits=False)
    assert result.criterion == "gradient norm"
    factors = (1.0 - 0.1 * np.asarray(SPECTRUM))[:, None] ** np.arange(200)
    norms = np.linalg.norm(np.asarray(SPECTRUM * X0)[:, None] * factors, axis=0)
    assert result["gd"].gradients == int(np.argmax(norms <= 1e-3 * norms[0])) > 10
    assert result["gd"].measured_limit is None


def test_the_gap_is_to_the_minimum_and_not_to_zero():
    f = tw.Objective(lambda x: F.fn(x) - 5.0, minimum=-5.0)
    result = tw.compare({"gd": tw.gradient_descent(f, 0.1)}, X0, 1e-6, max_steps=400, limits=False)
    losses = by_hand(METHODS["gradient_descent"], 400)
    assert result.criterion == "gap"
    assert result["gd"].steps == int(np.argmax(losses <= 1e-6 * losses[0]))


@pytest.mark.parametrize("row", quick(limited(flat(stepping(tw.table())))))
def test_the_measured_limit_is_within_a_hundredth_of_the_predicted(row):
    """For every row, on a quadratic, along its steepest direction."""
    method = row.build(F, **{next(iter(row.defaults)): 0.05})
    predicted = stable_limit(method, 10.0)[1]
    measured = measured_limit(method, jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]), 10.0)
    if not 0 < predicted < np.inf:
        assert measured is None
        return
    # The prediction for a friction that fades is its limit at late times, the measurement one at early times.
    assert measured == pytest.approx(predicted, rel=0.01 if method.autonomous else 0.025)


@pytest.mark.parametrize(
    ("name", "limit"), [("gradient_descent", 0.2), ("momentum", 0.32), ("nesterov", 3.2 / 22), ("rk4", 0.2785293563)]
)
def test_predicted_limits_are_those_of_the_books(compared, name, limit):
    """2/L, (2 + 2b)/L, (2 + 2b)/((1 + 2b) L) at L = 10."""
    assert compared[name].predicted_limit == pytest.approx(limit, rel=1e-6)
    assert compared[name].measured_limit == pytest.approx(limit, rel=0.01)
    assert compared[name].limit_of == ("learning_rate" if name != "rk4" else compared[name].limit_of)


def test_a_method_that_diverges_is_reported():
    both = {"good": tw.gradient_descent(F, 0.1), "bad": tw.gradient_descent(F, 0.5)}
    result = tw.compare(both, X0, 1e-6, max_steps=2000)
    assert result["bad"].regime == "diverging"
    assert not result["bad"].reached
    assert result.runs["bad"].status == "diverged"
    assert result["bad"].steps == result.runs["bad"].steps < 2000
    assert (result["good"].regime, result["good"].reached) == ("monotone", True)
    np.testing.assert_allclose(result.minimiser, 0.0, atol=1e-9)
    assert "diverging" in repr(result)


def test_a_sampler_fluctuates_and_may_diverge_as_well():
    bath = tw.UnderdampedLangevin(F, friction=1.0, temperature=1.0)
    methods = {f"{h}": tw.Method(bath, tw.Splitting("BAOAB"), h) for h in (0.1, 1.0)}
    result = tw.compare(methods, jnp.zeros(3), max_steps=400, limits=False)
    assert [entry.regime for entry in result.entries] == ["fluctuating", "diverging"]


def test_all_may_diverge():
    result = tw.compare({"bad": tw.momentum(F, 5.0, 0.9)}, X0, max_steps=500)
    assert result["bad"].regime == "diverging"
    assert np.isfinite(result["bad"].loss)


def test_seeds_and_mini_batches():
    data = jax.random.normal(jax.random.key(5), (20, 3))
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum(SPECTRUM * (x - s) ** 2), data, batch_size=5)
    method = tw.momentum(f, 0.02, 0.5)
    result = tw.compare({"m": method}, X0, 1e-9, max_steps=50, seeds=3)
    losses = [tw.run(method, X0, 50, key=seed).metrics["loss"][-1] for seed in range(3)]
    assert len(set(losses)) == 3
    assert result["m"].loss == pytest.approx(np.median(losses), rel=1e-12)
    assert result["m"].gradients == 50
    # The limit is one of the full gradient.
    assert result["m"].measured_limit == pytest.approx(3.0 / 10.0, rel=0.01)


def test_entries_as_json_has_them(compared):
    rows = compared.as_list()
    contract = {"method", "hyperparameters", "gradients", "steps", "seconds", "loss", "regime"}
    contract |= {"predicted_limit", "measured_limit"}
    assert all(contract <= set(row) for row in rows)
    assert [row["method"] for row in rows] == list(METHODS)
    with pytest.raises(KeyError):
        _ = compared["adam"]


def test_prints_as_a_table(compared):
    text = repr(compared)
    assert text.splitlines()[0].startswith("To gap 1e-06 of its start, at most 400 gradients")
    for name in METHODS:
        assert name in text
    assert str(compared["momentum"].gradients) in text


def test_names_of_a_sequence():
    result = tw.compare([METHODS["momentum"], METHODS["rk4"]], X0, max_steps=8, limits=False)
    assert [entry.method for entry in result.entries] == ["HeavyBall Leapfrog", "GradientFlow RK4"]
    twice = tw.compare([METHODS["momentum"], tw.momentum(F, 0.05, 0.5)], X0, max_steps=8, limits=False)
    assert len({entry.method for entry in twice.entries}) == 2


def test_keeps_a_run_directory_a_method(tmp_path):
    both = {"gd": METHODS["gradient_descent"], "momentum": METHODS["momentum"]}
    tw.compare(both, X0, max_steps=30, limits=False, out=tmp_path / "runs", record=10)
    for name in both:
        run = tw.Run.load(tmp_path / "runs" / name)
        assert run.steps == 30
        assert run.trace.step.tolist() == [0, 10, 20, 30]
        assert set(run.metrics) >= {"loss", "gradient_norm"}


def test_different_objectives_are_refused():
    def other(x):
        return jnp.sum(x**2)

    with pytest.raises(tw.InputError, match="must share one objective, or their losses do not compare"):
        tw.compare({"a": METHODS["momentum"], "b": tw.momentum(other, 0.1)}, X0)


@pytest.mark.slow
def test_mini_batches_are_judged_on_all_of_the_data():
    """Stable steps, whose batch at the start happens to lie lower than all of the data at the end."""
    rows = jax.random.normal(jax.random.key(0), (64, 3))
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - 10.0 * s) ** 2), rows, batch_size=4)
    start = jnp.full(3, 5.0)
    result = tw.compare({"sgd": tw.gradient_descent(f, 0.1)}, start, 0.5, max_steps=200, seeds=5, limits=False)
    assert result["sgd"].regime != "diverging" and result.notes == ()
    losses = [tw.run(tw.gradient_descent(f, 0.1), start, 200, key=seed).metrics["loss"] for seed in range(5)]
    assert any(curve[-1] > 1.2 * curve[0] for curve in losses), "no batch lies low enough for this test to tell"
    # Beyond the limit it is told.
    assert tw.compare({"sgd": tw.gradient_descent(f, 2.2)}, start, max_steps=200)["sgd"].regime == "diverging"
    # One of whose samples no batch has a gradient is still not there.
    pair = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), jnp.array([[0.0], [2.0]]), batch_size=1)
    result = tw.compare({"sgd": tw.gradient_descent(pair, 0.3)}, jnp.zeros(1), 1e-3, max_steps=1, limits=False)
    assert not result["sgd"].reached


def test_a_budget_below_a_step_is_refused():
    with pytest.raises(tw.InputError, match="a step of rk4 takes 4 gradients: more than the 2 of max_steps; give at l"):
        tw.compare({"rk4": tw.Method(tw.GradientFlow(F), tw.RK4(), 0.01)}, X0, max_steps=2)
    assert tw.compare({"rk4": tw.Method(tw.GradientFlow(F), tw.RK4(), 0.01)}, X0, max_steps=7)["rk4"].gradients <= 7


def test_a_minimum_that_is_none_and_a_saddle_are_noticed():
    high = tw.Objective(lambda x: 0.5 * jnp.sum(x**2) - 3.0, minimum=-2.0)
    result = tw.compare({"gd": tw.gradient_descent(high, 0.5)}, X0, max_steps=50)
    (note,) = result.notes
    assert note.startswith("the objective says that its minimum is -2, and gd came to -3") and note in repr(result)
    saddle = tw.Objective(lambda x: 0.5 * (x[0] ** 2 - 0.3 * x[1] ** 2) + 0.25 * x[1] ** 4)
    result = tw.compare({"gd": tw.gradient_descent(saddle, 0.5)}, jnp.array([1.0, 0.0]), max_steps=100)
    (note,) = result.notes
    assert note.startswith("gd stands at a saddle, not at a minimum: f curves downwards there, by 0.3 along")
    assert tw.compare({"gd": tw.gradient_descent(saddle, 0.5)}, jnp.array([1.0, 0.1]), max_steps=400).notes == ()
