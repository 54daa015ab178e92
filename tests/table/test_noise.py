"""What holds for every row that draws noise: its law, its keys, its dtypes, its limits."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats

import thalweg as tw
from tests.chance import scores
from tests.rows import few, quick
from tests.table.test_steps import Compilations
from thalweg._loops.sampling_step import _default_scheme
from thalweg.analysis import (
    largest_stable_step,
    modified_equation,
    spectral_radius,
    stationary_covariance,
    transient_covariance,
)
from thalweg.schemes._advice import advice

NOISY = [row for row in tw.table() if row.method.normals]
ROWS = quick(NOISY)
# Words of one law and one class: what depends on no word is asked of BAOAB, of the others among the slow tests.
KINDS = few(NOISY, *(row.name for row in NOISY if row.name not in ("aboba", "obabo", "oabao", "baoa")))


def is_linear(law):
    """A thermostat is linear on no function, so that its law is not predicted by a Lyapunov equation."""
    return law.linearised() is law


LINEAR = [row for row in KINDS if is_linear(row.values[0].dynamics)]
assert [row.id for row in KINDS if row not in LINEAR] == ["adaptive_langevin"]
HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
CHAINS = 20_000
# A row of each kind of state, where what is asked depends on no more.
FAMILIES = ("sgld", "leimkuhler_matthews", "coloured_langevin", "baoab", "generalized_langevin", "adaptive_langevin")


def bowl(x):
    return 0.5 * jnp.einsum("...i,ij,...j->", x, HESSIAN, x)


@eqx.filter_jit
def settled(method, key, steps):
    """Many chains after many steps, all from the origin."""

    def step(i, state):
        return jax.vmap(method.step)(state, method.draw(jax.random.fold_in(key, i), state.position, chains=CHAINS))

    return jax.lax.fori_loop(0, steps, step, jax.vmap(method.init)(jnp.zeros((CHAINS, 2))))


def assert_covariance(samples, expected, chance, checks=1):
    """Independent, centred samples have this covariance, in one of so many checks of a test; of each pair an entry."""
    i, j = np.triu_indices(samples.shape[1])
    z = scores(samples[:, i] * samples[:, j], expected[i, j])
    assert np.abs(z).max() < chance.z(len(z), checks), (z, expected)


# Replicas are walks of their own at every temperature; the others are of a law or a scheme that is here otherwise.
LONG = {"replica_exchange", "generalized_langevin", "stochastic_heun", "underdamped_euler_maruyama"}


@pytest.mark.parametrize(
    "row", [pytest.param(*row.values, id=row.id, marks=pytest.mark.slow) if row.id in LONG else row for row in LINEAR]
)
def test_running_settles_to_the_law_that_is_predicted(row, key, chance):
    """At a step so large that the continuous law is far away."""
    name = next(iter(row.defaults))
    limit = largest_stable_step(row.method, HESSIAN)
    # A method that rejects has no limit; at this step it rejects a third of what it proposes.
    limit = 2.0 if row.scheme.exact_law else limit
    method = row.build(bowl, **{name: 0.5 * limit, "temperature": 0.6})
    state = settled(method, key, 200)
    parts = ["position"] + (["velocity"] if method.dynamics.order == 2 else [])
    for part in parts:
        expected = stationary_covariance(method, HESSIAN, of=part)
        assert_covariance(np.asarray(getattr(state, part)), expected, chance, len(parts))


def test_a_wrong_law_is_told_apart(key, chance):
    method = tw.sgld(bowl, 0.5, 0.6)
    samples = np.asarray(settled(method, key, 200).position)
    with pytest.raises(AssertionError):
        assert_covariance(samples, 0.6 * np.linalg.inv(HESSIAN), chance)


@pytest.mark.parametrize("row", LINEAR)
def test_small_steps_sample_the_continuous_law(row):
    """The covariance is that of the law (T/H, for white noise) to the order of the method, or exactly."""
    name = next(iter(row.defaults))
    exact = 0.6 * np.linalg.inv(HESSIAN)
    if isinstance(row.dynamics, tw.ColouredLangevin):
        exact = exact @ np.linalg.inv(np.eye(2) + float(row.dynamics.correlation_time) * HESSIAN)
    errors = []
    for h in (0.02, 0.01):
        found = stationary_covariance(row.build(None, **{name: h, "temperature": 0.6}), HESSIAN)
        errors.append(np.abs(found - exact).max())
    assert errors[1] < 0.02
    if errors[1] > 1e-12:
        assert np.log2(errors[0] / errors[1]) > row.order - 0.1


@pytest.mark.parametrize("word", ["BAOAB", "ABOBA", "BAOA"])
def test_positions_of_a_gaussian_are_exact(word):
    law = tw.UnderdampedLangevin(None, friction=0.7, temperature=0.6, mass=2.0)
    found = stationary_covariance(tw.Method(law, tw.Splitting(word), 1.1), HESSIAN)
    np.testing.assert_allclose(found, 0.6 * np.linalg.inv(HESSIAN), rtol=1e-12)


@pytest.mark.parametrize("row", ROWS)
def test_without_a_key_it_is_one_line(row):
    with pytest.raises(tw.InputError, match="this method draws noise; give a key, such as key=0"):
        tw.run(row.build(bowl), jnp.ones(2), 3)


@pytest.mark.parametrize("row", [row for row in ROWS if row.values[0].name in FAMILIES])
def test_a_run_resumed_is_one_never_stopped(row, tmp_path):
    method, x0 = row.build(bowl), {"w": jnp.ones(2), "b": jnp.zeros(2)}
    method = method.with_objective(tw.Objective(lambda x: bowl(x["w"]) + 0.5 * jnp.sum(x["b"] ** 2)))
    whole = tw.run(method, x0, 40, key=3, record=1)
    tw.run(method, x0, 15, key=3, out=tmp_path / "a")
    again = tw.run(method, x0, 40, key=3, out=tmp_path / "a", resume=True)
    assert all((a == b).all() for a, b in zip(*map(jax.tree.leaves, (whole.final.position, again.final.position)),
                                              strict=True))  # fmt: skip
    other = tw.run(method, x0, 40, key=4, record=None)
    assert not np.allclose(other.final.position["w"], whole.final.position["w"])


@pytest.mark.parametrize("row", ROWS)
def test_each_normal_is_drawn_for_one_use(row, key, chance):
    """No two of a step's normals, of its leaves, of its steps or of its mini-batch are the same numbers."""
    position = {"a": jnp.zeros(500), "b": jnp.zeros(500)}
    drawn = [leaf for k in range(3) for leaf in jax.tree.leaves(
        row.method.draw(jax.random.fold_in(key, k), position).noise)]  # fmt: skip
    assert len(drawn) == 3 * 2 * row.method.normals
    drawn = np.array(drawn)
    pairs = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)]
    # Fisher's transformation makes a correlation of normals normal.
    assert np.abs(np.arctanh(pairs)).max() < chance.z(len(pairs), checks=3) / np.sqrt(drawn.shape[1] - 3)
    assert abs(np.mean(drawn)) < chance.z(checks=3) / np.sqrt(drawn.size)
    square = stats.chi2(drawn.size)
    assert 2 * min(square.cdf(np.sum(drawn**2)), square.sf(np.sum(drawn**2))) > chance.level(checks=3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("row", KINDS)
def test_a_step_keeps_its_dtypes(row, dtype):
    start = {"w": jnp.ones((2, 3), dtype), "b": jnp.zeros(2, dtype)}
    method = row.build(lambda x: jnp.sum(x["w"] ** 2) + jnp.sum(x["b"] ** 2))

    def two(start, key):
        first = method.init(start)
        return first, method.step(first, method.draw(key, first.position))

    first, second = jax.eval_shape(two, start, jax.random.key(0))
    assert first == second


@pytest.mark.parametrize("row", KINDS)
def test_a_change_of_hyperparameters_compiles_nothing(row):
    tw.run(row.build(bowl), jnp.ones(2), 20, key=0)
    with Compilations() as seen:
        tw.run(row.build(bowl, **{name: 0.5 * value for name, value in row.defaults.items()}), jnp.ones(2), 20, key=1)
    assert seen.count == 0


@pytest.mark.parametrize("row", ROWS)
def test_the_stability_a_row_prints_is_where_it_turns(row):
    if row.scheme.exact_law:
        assert row.stability == "any step: what goes too far is rejected"
        assert np.isinf(largest_stable_step(row.method, 1.0))
        assert stationary_covariance(row.build(None, learning_rate=100.0), 1.0) == 1.0
        return
    knob, limit = row.as_dict()["stability"].split(" at ")[0].split(" < ")
    for factor, stable in ((0.999, True), (1.001, False)):
        method = row.build(None, **{knob: float(limit) * factor})
        if not is_linear(method.dynamics):
            radius = spectral_radius(method, 1.0)
            assert radius <= 1 + 1e-9 if stable else radius > 1 + 1e-6
        elif stable:
            assert np.isfinite(stationary_covariance(method, 1.0))
        else:
            with pytest.raises(tw.InputError, match="there is no stationary law: the method multiplies a deviation"):
                stationary_covariance(method, 1.0)


def test_at_temperature_zero_it_is_the_law_without_noise():
    cold = tw.run(tw.sgld(bowl, 0.2, 0.0), jnp.ones(2), 20, key=0).final.position
    np.testing.assert_allclose(cold, tw.run(tw.gradient_descent(bowl, 0.2), jnp.ones(2), 20).final.position, rtol=1e-13)
    for word in ("BAOAB", "OBABO", "BAOA"):
        cold = tw.Method(tw.UnderdampedLangevin(bowl, 0.7, 0.0, 1.3), tw.Splitting(word), 0.2)
        plain = tw.Method(tw.HeavyBall(bowl, 0.7, 1.3), tw.Splitting(word), 0.2)
        ends = [tw.run(m, jnp.ones(2), 20, key=0).final for m in (cold, plain)]
        np.testing.assert_allclose(ends[0].position, ends[1].position, rtol=1e-13)
        np.testing.assert_allclose(ends[0].velocity, ends[1].velocity, rtol=1e-13)


@pytest.mark.parametrize(("word", "order"), [("BAOAB", 2), ("ABOBA", 2), ("OBABO", 2), ("BAOA", 1), ("OABAO", 2)])
def test_without_noise_a_splitting_has_the_order_of_its_word(word, order):
    lopsided = tw.problems.lopsided()
    method = tw.Method(tw.HeavyBall(lopsided.objective, 1.0), tw.Splitting(word), 0.1)
    assert method.scheme.order == order
    assert tw.analysis.convergence_order(method, lopsided.start).order == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("word", "gradients"), [("BAOAB", 1), ("ABOBA", 1), ("OBABO", 1), ("BAOA", 1), ("BABAO", 2),
                                                 ("OABAO", 1)])  # fmt: skip
def test_a_gradient_that_is_known_is_not_taken_again(word, gradients):
    method = tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), tw.Splitting(word), 0.1)
    assert method.gradients_per_step == gradients


def test_annealing_follows_the_variance_of_every_step(key, chance):
    """The variance of Euler-Maruyama on a bowl of curvature 1: v' = (1 - h)^2 v + 2 T(t) h."""
    h, steps = 0.3, 12

    def temperature(t):
        return 1.0 / (1.0 + t)

    law = tw.OverdampedLangevin(lambda x: 0.5 * jnp.sum(x**2), temperature)
    samples = np.asarray(settled(tw.Method(law, tw.EulerMaruyama(), h), key, steps).position)
    variance = 0.0
    for k in range(steps):
        variance = (1 - h) ** 2 * variance + 2 * temperature(k * h) * h
    assert_covariance(samples, variance * np.eye(2), chance)


@pytest.mark.parametrize("alpha", [pytest.param(0.1, marks=pytest.mark.slow), 0.9])
@pytest.mark.parametrize("kind", ["descent", "momentum", "nesterov"])
def test_mini_batches_settle_to_the_law_that_is_predicted(kind, alpha, key, chance):
    """The gradient noise of a mean is that of the samples over the batch, whatever the parameters are."""
    samples, batch, beta = np.random.default_rng(1).normal(size=(50, 2)), 5, 0.6
    f = tw.FiniteSum(lambda x, s: 0.5 * (x - s) @ HESSIAN @ (x - s), samples, batch_size=batch)
    method = {
        "descent": lambda: tw.gradient_descent(f, alpha),
        "momentum": lambda: tw.momentum(f, alpha, beta),
        "nesterov": lambda: tw.nesterov(f, 0.5 * alpha, beta),
    }[kind]()
    noise = HESSIAN @ np.cov(samples.T, bias=True) @ HESSIAN / batch
    many = jax.random.split(key, 4000)

    @jax.jit
    @jax.vmap
    def end(key):
        def step(i, state):
            return method.step(state, method.draw(jax.random.fold_in(key, i), state.position))

        return jax.lax.fori_loop(0, 300, step, method.init(jnp.asarray(samples.mean(0)))).position

    assert_covariance(np.asarray(end(many)) - samples.mean(0), stationary_covariance(method, HESSIAN, noise), chance)


def test_closed_forms():
    a, b, curvature, noise = 0.3, 0.8, 1.7, 2.5
    found = stationary_covariance(tw.gradient_descent(None, a), curvature, noise)
    assert found == pytest.approx(a * noise / (curvature * (2 - a * curvature)), rel=1e-13)
    found = stationary_covariance(tw.momentum(None, a, b), curvature, noise)
    expected = (1 + b) * a * noise / ((1 - b) * curvature * (2 * (1 + b) - a * curvature))
    assert found == pytest.approx(expected, rel=1e-12)
    bath = tw.UnderdampedLangevin(None, friction=0.9, temperature=0.6, mass=1.4)
    h = 0.5
    stiff = h**2 * curvature / (4 * 1.4)
    for word, position, velocity in (("BAOAB", 1.0, 1 - stiff), ("OBABO", 1 / (1 - stiff), 1.0)):
        method = tw.Method(bath, tw.Splitting(word), h)
        found = stationary_covariance(method, curvature)
        assert found == pytest.approx(0.6 / curvature * position, rel=1e-12)
        found = stationary_covariance(method, curvature, of="velocity")
        assert found == pytest.approx(0.6 / 1.4 * velocity, rel=1e-12)


REFUSED = {
    "no noise": (lambda: stationary_covariance(tw.momentum(None, 0.1), 1.0), "give a noise_covariance"),
    "a schedule": (
        lambda: stationary_covariance(tw.gradient_descent(None, lambda k: 0.1), 1.0, 1.0), "needs constant",
    ),
    "flat": (lambda: stationary_covariance(tw.sgld(None, 0.1), [[1.0, 0.0], [0.0, 0.0]]), "no stationary law"),
    "velocity of none": (lambda: stationary_covariance(tw.sgld(None, 0.1), 1.0, of="velocity"), "no velocity"),
    "asymmetric": (lambda: stationary_covariance(tw.sgld(None, 0.1), [[1.0, 0.5], [0.0, 1.0]]), "must be symmetric"),
    "negative noise": (
        lambda: stationary_covariance(tw.gradient_descent(None, 0.1), 1.0, -1.0), "positive semidefinite",
    ),
    "shapes": (
        lambda: stationary_covariance(tw.sgld(None, 0.1), np.eye(2), np.eye(3)), "of shape (2, 2), but has",
    ),
    "no method": (lambda: stationary_covariance("sgd", 1.0, 1.0), "must be a tw.Method"),
    "a word": (lambda: tw.Splitting("BAXAB"), "letters A, B and O"),
    "a short word": (lambda: tw.Splitting("BAB"), "lacks O"),
    "noise left out": (
        lambda: tw.Method(tw.OverdampedLangevin(None, 1.0), tw.Euler(), 0.1),
        "would leave out; use tw.LeimkuhlerMatthews()",
    ),
    "noise left out of two": (
        lambda: tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), tw.Leapfrog(), 0.1), 'use tw.Splitting("BAOAB")',
    ),
    "no noise to add": (
        lambda: tw.Method(tw.GradientFlow(None), tw.EulerMaruyama(), 0.1), "GradientFlow has none; use tw.Euler()",
    ),
    "one order": (
        lambda: tw.Method(tw.OverdampedLangevin(None, 1.0), tw.Splitting("BAOAB"), 0.1), "no separate force or",
    ),
    "cold": (lambda: tw.sgld(None, 0.1, -1.0), "temperature must be at least 0, but is -1"),
    "no friction": (lambda: tw.UnderdampedLangevin(None, 0.0, 1.0), "friction must be greater than 0"),
    "in optax": (lambda: tw.adapters.optax.transformation(tw.sgld(None, 0.1)), "draws noise"),
    "in torch": (lambda: tw.adapters.torch.Optimizer([], tw.sgld(None, 0.1)), "draws noise"),
    "in scipy": (lambda: tw.adapters.scipy.minimizer(tw.sgld(None, 0.1)), "draws noise"),
}  # fmt: skip


@pytest.mark.parametrize("row", {type(row.dynamics): row for row in tw.table()}.values(), ids=lambda row: row.name)
def test_what_is_advised_for_a_law_fits_it_and_samples_it_by_default(row):
    advised = eval(advice(row.dynamics), {"tw": tw})
    tw.Method(row.dynamics, advised, 0.1)
    if row.method.noisy:
        assert bool(eqx.tree_equal(_default_scheme(row.dynamics), advised))


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("row", ROWS)
def test_what_is_linear_on_no_function_has_no_exact_law_after_n_steps(row):
    for analysis in (
        lambda method: transient_covariance(method, HESSIAN, 3),
        lambda method: modified_equation(method, HESSIAN),
    ):
        if row.scheme.exact_law or not is_linear(row.dynamics):
            with pytest.raises(tw.InputError, match="is linear on no function"):
                analysis(row.method)
    if row.build(bowl).init(jnp.zeros(2)).auxiliary is not None:
        with pytest.raises(tw.InputError, match="a diffusion limit is known of"):
            row.build(bowl).diffusion_limit()


@pytest.mark.slow
@pytest.mark.parametrize("law", [
    tw.ColouredLangevin(bowl, 0.6, 0.5), tw.GeneralizedLangevin(bowl, 0.5, 0.6, (1.0,), (1.0,)),
    tw.AdaptiveLangevin(bowl, 0.6),
])  # fmt: skip
def test_every_law_has_a_scheme_to_sample_with(law):
    samples = tw.sample(law, jnp.zeros(2), draws=20, warmup=5, diagnostics=False, progress=False)
    assert np.isfinite(samples["posterior"].to_dataset().to_dataarray()).all()


@pytest.mark.parametrize("row", ROWS)
def test_other_peoples_loops_refuse_noise_in_one_line(row):
    for adapter in (
        tw.adapters.optax.transformation,
        tw.adapters.scipy.minimizer,
        lambda method: tw.adapters.torch.Optimizer([], method),
    ):
        with pytest.raises(tw.InputError, match="draws noise"):
            adapter(row.method)


@pytest.mark.parametrize("row", few(NOISY, "sgld", "mala", "baoab", "coloured_langevin"))
def test_vmap_over_hyperparameters_is_a_loop_over_them(row, key):
    def end(scale):
        method = row.build(bowl, **{name: scale * value for name, value in row.defaults.items()})
        state = method.init(jnp.ones(2))
        for i in range(3):
            state = method.step(state, method.draw(key, state.position, i))
        return state.position

    scales = jnp.array([0.5, 0.9])
    together = jax.jit(jax.vmap(end))(scales)
    for scale, ours in zip(scales, together, strict=True):
        np.testing.assert_allclose(ours, jax.jit(end)(scale), rtol=1e-12)


def test_hyperparameters_of_a_noisy_row_change_alone():
    method = tw.sgld(None, 0.1, 2.0).with_hyperparameters(temperature=0.5)
    assert method.hyperparameters == {"learning_rate": 0.1, "temperature": 0.5}
    assert dataclasses.fields(method.dynamics)[1].name == "temperature"
