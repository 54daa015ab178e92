"""A sweep is the loop of runs it replaces, in one compiled program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops import width
from thalweg._records.sweep import regime

CURVATURE = jnp.array([1.0, 4.0, 9.0])
X0 = jnp.array([1.0, -2.0, 0.5])
ROWS = jax.random.normal(jax.random.key(3), (1000, 5))
RATES, MOMENTA = [0.01, 0.05, 0.1, 0.5], [0.0, 0.5, 0.9]


def bowl(x):
    return 0.5 * jnp.sum(CURVATURE * x**2) + 0.1 * jnp.sum(jnp.cos(x + 1.0))


def make(learning_rate, momentum):
    return tw.nesterov(bowl, learning_rate, momentum)


@pytest.fixture(scope="module")
def swept():
    return tw.sweep(make, {"learning_rate": RATES, "momentum": MOMENTA}, X0, 60)


def close_until_overflow(found, expected):
    """Where a run diverged the two differ by rounding that grew; before, by nothing."""
    before = expected < 1e6
    np.testing.assert_allclose(found[before], expected[before], rtol=1e-13, atol=1e-13)


def test_equals_a_loop_of_runs(swept):
    assert swept.shape == (4, 3)
    assert swept.losses.shape == (12, 1, 61)
    for i, (rate, momentum) in enumerate((a, b) for a in RATES for b in MOMENTA):
        assert {name: float(values[i]) for name, values in swept.settings.items()} == {
            "learning_rate": rate,
            "momentum": momentum,
        }
        run = tw.run(make(rate, momentum), X0, 60)
        count = len(run.metrics["loss"])
        close_until_overflow(swept.losses[i, 0, :count], run.metrics["loss"])
        if run.status == "finished" and run.metrics["loss"].max() < 1e6:
            np.testing.assert_allclose(swept.final[i, 0], run.final.position, rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(swept.final_loss[i, 0], run.metrics["loss"][-1], rtol=1e-13)


def test_the_last_loss_belongs_to_the_last_state(swept):
    np.testing.assert_array_equal(swept.losses[:, :, -1], swept.final_loss)
    flow = tw.sweep(lambda learning_rate: tw.gradient_descent(bowl, learning_rate), {"learning_rate": RATES[:3]}, X0, 9)
    np.testing.assert_allclose(flow.final_loss[:, 0], jax.vmap(bowl)(flow.final[:, 0]), rtol=1e-14)


def test_folds_into_the_grid(swept):
    folded = swept.folded(swept.final_loss)
    assert folded.shape == (4, 3, 1)
    assert folded[2, 1, 0] == swept.final_loss[7, 0]
    assert (swept.settings["learning_rate"][7], swept.settings["momentum"][7]) == (0.1, 0.5)
    np.testing.assert_array_equal(swept.folded(swept.settings["momentum"])[0], MOMENTA)


def test_best_is_the_setting_of_least_loss(swept):
    index = int(np.nanargmin(np.where(np.isfinite(swept.final_loss[:, 0]), swept.final_loss[:, 0], np.inf)))
    assert swept.best == {name: values[index] for name, values in swept.settings.items()}
    assert swept.best["learning_rate"] < 0.5
    assert repr(swept).startswith("Sweep(12 settings x 1 seeds, ")


def test_best_takes_the_median_over_seeds():
    result = tw.Sweep({"a": np.array([1.0, 2.0])}, None, np.array([[0.0, 9.0, 9.0], [1.0, 1.0, np.nan]]), None, (2,))
    assert result.best == {"a": 2.0}


@pytest.mark.parametrize(("keep", "steps"), [("loss", 9), ("final", 2000)])
def test_where_every_setting_diverged_none_is_best(keep, steps):
    result = tw.sweep(lambda a: tw.gradient_descent(bowl, a), {"a": [2.0, 3.0]}, X0, steps, keep=keep)
    assert result.diverged.all() and np.isinf(result.typical_loss).all()
    with pytest.raises(tw.InputError, match="each of the 2 diverged, of a 2 to 3; take smaller steps"):
        _ = result.best
    assert "none is best" in repr(result)
    one = tw.sweep(lambda a: tw.gradient_descent(bowl, a), {"a": [2.0, 0.01, 3.0]}, X0, steps, keep=keep)
    assert one.best == {"a": 0.01}


def test_a_law_without_an_objective_has_no_best():
    field = tw.Field(lambda t, x, args: -args * x, 1.0)
    moved = tw.sweep(lambda a: tw.Method(field, tw.Euler(), a), {"a": [0.1, 0.2]}, X0, 3)
    with pytest.raises(tw.InputError, match="a law without an objective has no loss"):
        _ = moved.best


@pytest.mark.parametrize(
    ("maker", "says"),
    [
        (lambda a: tw.gradient_descent(bowl, a) if a > 0.15 else tw.momentum(bowl, a), "TracerBoolConversionError"),
        (lambda a: tw.gradient_descent(bowl, float(a)), "ConcretizationTypeError"),
        (lambda a: tw.gradient_descent(bowl, np.exp(-a)), "TracerArrayConversionError"),
        (lambda a: [tw.gradient_descent(bowl, a), None][int(a)], "ConcretizationTypeError"),
    ],
)
def test_a_maker_that_branches_on_a_setting_is_one_line(maker, says):
    with pytest.raises(tw.InputError, match=f"make_method looks at the value of a setting .{says}") as caught:
        tw.sweep(maker, {"a": [0.1, 0.2]}, X0, 3)
    assert "\n" not in str(caught.value)


def test_a_maker_that_raises_is_one_line():
    with pytest.raises(tw.InputError, match=r"make_method\(\*\*{'a': 0.1}\) raised KeyError: 0.1"):
        tw.sweep(lambda a: {}[a], {"a": [0.1, 0.2]}, X0, 3)
    with pytest.raises(tw.InputError, match="x0, a function of a key, raised ZeroDivisionError"):
        tw.sweep(lambda a: tw.gradient_descent(bowl, a), {"a": [0.1]}, lambda key: 1 / 0, 3)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3.0, 2.0, 1.0], "monotone"),
        ([3.0, 2.0, 2.0], "monotone"),
        ([3.0, 1.0, 2.0, 0.5], "oscillating"),
        ([3.0, 1.0, 2.9], "oscillating"),
        ([3.0, 1.0, 4.0], "diverging"),
        ([3.0, np.nan], "diverging"),
        ([3.0, np.inf, 1.0], "diverging"),
        ([1.0, 1e-17, 2e-17], "monotone"),
        ([-3.0, -4.0, -5.0], "monotone"),
        ([0.0, 0.0], "monotone"),
        ([-3.0, -4.0, -2.0], "diverging"),
        # Rounding in float32, whose numbers these are, and a rise that is none in float64.
        (np.float32([2.6, 0.65018594, 0.65018588, 0.65018594]).astype(float), "monotone"),
        ([2.6, 0.65018588, 0.65018594], "oscillating"),
    ],
)
def test_regimes(losses, expected):
    assert regime(np.array(losses)) == expected


def test_regimes_of_a_sweep():
    """On a quadratic of curvature 1: monotone to 1, oscillating in sign but not in loss to 2, then diverging."""

    def f(x):
        return 0.5 * jnp.sum(x**2)

    plain = tw.sweep(lambda h: tw.gradient_descent(f, h), {"h": [0.5, 1.9, 2.1]}, X0, 50)
    assert plain.regimes[:, 0].tolist() == ["monotone", "monotone", "diverging"]
    swinging = tw.sweep(lambda b: tw.momentum(f, 0.5, b), {"b": [0.0, 0.9]}, X0, 50)
    assert swinging.regimes[:, 0].tolist() == ["monotone", "oscillating"]


def test_a_list_of_settings(swept):
    listed = [{"momentum": 0.5, "learning_rate": 0.1}, {"momentum": 0.9, "learning_rate": 0.01}]
    some = tw.sweep(make, listed, X0, 60)
    assert some.shape == (2,)
    np.testing.assert_allclose(some.losses[:, 0], swept.losses[[7, 2], 0], rtol=1e-13, atol=1e-13)


def test_losses_can_be_left_out(swept):
    lean = tw.sweep(make, {"learning_rate": RATES[:2], "momentum": MOMENTA}, X0, 60, losses=False)
    assert lean.losses is None
    np.testing.assert_allclose(lean.final_loss, swept.final_loss[:6], rtol=1e-13)
    with pytest.raises(tw.InputError, match="losses=True"):
        _ = lean.regimes


def test_seeds_draw_different_mini_batches_and_equal_runs_with_their_keys():
    data = jax.random.normal(jax.random.key(5), (20, 3))
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum(CURVATURE * (x - s) ** 2), data, batch_size=4)

    def stochastic(learning_rate):
        return tw.momentum(f, learning_rate, 0.5)

    result = tw.sweep(stochastic, {"learning_rate": [0.01, 0.02]}, X0, 40, seeds=3)
    assert result.losses.shape == (2, 3, 41)
    assert len(set(result.final_loss[0].tolist())) == 3
    for i, rate in enumerate((0.01, 0.02)):
        for seed in range(3):
            key = jax.random.split(jax.random.key(seed))[0]
            run = tw.run(stochastic(rate), X0, 40, key=key)
            np.testing.assert_allclose(result.losses[i, seed], run.metrics["loss"], rtol=1e-13)
            np.testing.assert_allclose(result.final[i, seed], run.final.position, rtol=1e-12)


def test_seeds_draw_a_start():
    def start(key):
        return {"x": jax.random.normal(key, (3,))}

    def method(momentum):
        return tw.momentum(lambda p: bowl(p["x"]), 0.05, momentum)

    result = tw.sweep(method, {"momentum": [0.0, 0.9]}, start, 5, seeds=4)
    assert result.final["x"].shape == (2, 4, 3)
    for seed in range(4):
        x0 = start(jax.random.split(jax.random.key(seed))[1])
        np.testing.assert_allclose(result.losses[0, seed, 0], bowl(x0["x"]), rtol=1e-14)
        np.testing.assert_array_equal(result.losses[0, seed, 0], result.losses[1, seed, 0])
    assert len(set(result.losses[0, :, 0].tolist())) == 4


def test_one_program_for_all_settings_and_none_for_other_values():
    traced = []

    def f(x):
        traced.append(1)
        return 0.5 * jnp.sum(CURVATURE * x**2)

    def method(learning_rate, momentum):
        return tw.momentum(f, learning_rate, momentum)

    def traces(rates):
        before = len(traced)
        tw.sweep(method, {"learning_rate": rates, "momentum": [0.1, 0.5]}, X0, 20)
        return len(traced) - before

    few = traces([0.1, 0.2])
    assert traces([0.3, 0.4]) == 0
    # As many traces for a hundred settings as for four; JAX traces anew for the new shape.
    assert 0 < traces(np.linspace(0.01, 0.2, 50)) <= few


def test_low_precision_stays():
    result = tw.sweep(make, {"learning_rate": [0.1], "momentum": [0.5]}, X0.astype(jnp.float32), 5)
    assert result.final.dtype == jnp.float32


def test_laws_by_their_own_constants():
    def method(friction, step_size):
        return tw.Method(tw.HeavyBall(bowl, friction), tw.RK4(), step_size)

    result = tw.sweep(method, {"friction": [0.5, 2.0], "step_size": [0.1]}, X0, 30)
    run = tw.run(method(2.0, 0.1), X0, 30)
    np.testing.assert_allclose(result.losses[1, 0], run.metrics["loss"], rtol=1e-13)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_sweep_in_batches_equals_one_abreast(monkeypatch, seeds):
    def start(key):
        return jax.random.normal(key, (5,))

    def sums(x):
        return jnp.mean(jax.nn.softplus(ROWS @ x)) + 0.05 * jnp.sum(x**2)

    def method(learning_rate, momentum):
        return tw.nesterov(sums, learning_rate, momentum)

    grid = {"learning_rate": np.linspace(0.1, 0.5, 7), "momentum": [0.1, 0.5]}
    whole = tw.sweep(method, grid, start, 30, seeds)
    # 1,000 rows in float64 are the largest array: four pairs at once, the last batch filled up.
    monkeypatch.setattr(width, "_CPU_BYTES", 4 * 8000)
    assert width.width(tw.Objective(sums), jnp.ones(5), 14 * seeds) == 4
    cut = tw.sweep(method, grid, start, 30, seeds)
    assert cut.losses.shape == (14, seeds, 31) and cut.final.shape == (14, seeds, 5)
    np.testing.assert_allclose(cut.losses, whole.losses, rtol=1e-13)
    np.testing.assert_allclose(cut.final, whole.final, rtol=1e-12)


def test_the_width_follows_the_largest_array():
    wide = tw.Objective(lambda x: jnp.sum(jnp.cos(ROWS @ x)))
    room = width._CPU_BYTES // 8000
    assert width.width(wide, jnp.ones(5), 10) == 10
    assert width.width(wide, jnp.ones(5), 2 * room) == room
    # Evenly spread: one setting too many makes two batches of half the size.
    assert width.width(wide, jnp.ones(5), room + 1) == (room + 2) // 2
    # Arrays inside a loop count as well.
    looped = tw.Objective(lambda x: jax.lax.scan(lambda c, _: (c + jnp.sum(jnp.sin(ROWS @ x)), None), 0.0, length=3)[0])
    assert width.width(looped, jnp.ones(5), 10**6) <= room
