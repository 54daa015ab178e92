"""Laws of a user's own, with variables besides position and velocity: every scheme moves all of them, or refuses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array
from scipy.integrate import solve_ivp

import thalweg as tw
from thalweg.dynamics import AbstractDamped, AbstractFirstOrder, AbstractSecondOrder, Phase

BOWL = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2) + 0.1 * jnp.sum(x**4))
START = jnp.array([1.0, 0.6])
FIRST, SECOND, EPSILON = 3.0, 1.0, 1e-3


class Adam(AbstractFirstOrder):
    """Adam as a flow without bias correction: averages of the gradient and of its square as variables of its own."""

    objective: Any

    def initial_auxiliary(self, position):
        return {
            "mean": jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.1), position),
            "square": jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.5), position),
        }

    def rates(self, time, phase, evaluation):
        del time
        mean, square = phase.auxiliary["mean"], phase.auxiliary["square"]
        return Phase(
            jax.tree.map(lambda m, v: -m / (jnp.sqrt(v) + EPSILON), mean, square),
            auxiliary={
                "mean": jax.tree.map(lambda g, m: FIRST * (g - m), evaluation.gradient, mean),
                "square": jax.tree.map(lambda g, v: SECOND * (g * g - v), evaluation.gradient, square),
            },
        )


class Averaging(AbstractSecondOrder):
    """A ball pulled by an average of the gradient."""

    objective: Any

    def initial_auxiliary(self, position):
        return jnp.zeros_like(position)

    def rates(self, time, phase, evaluation):
        del time
        return Phase(phase.velocity, -phase.auxiliary - phase.velocity, evaluation.gradient - phase.auxiliary)


class Damped(AbstractDamped):
    """A heavy ball with a variable of its own that counts the way it has gone."""

    objective: Any

    def initial_auxiliary(self, position):
        return jnp.zeros_like(position)

    def friction_at(self, time):
        del time
        return 1.0

    def rates(self, time, phase, evaluation):
        return super().rates(time, phase, evaluation)._replace(auxiliary=jnp.abs(phase.velocity))


class Forgetful(AbstractFirstOrder):
    """A law whose rates leave its variables out."""

    objective: Any

    def initial_auxiliary(self, position):
        return jnp.zeros_like(position)

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(-evaluation.gradient)


def adam_by_scipy(time):
    """Position, mean and square by SciPy's DOP853 on NumPy's own right-hand side."""

    def field(_, y):
        x, m, v = np.split(y, 3)
        g = np.array([1.0, 4.0]) * x + 0.4 * x**3
        return np.concatenate([-m / (np.sqrt(v) + EPSILON), FIRST * (g - m), SECOND * (g * g - v)])

    y0 = np.concatenate([START, np.full(2, 0.1), np.full(2, 0.5)])
    return solve_ivp(field, (0.0, time), y0, "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]


def end(law, scheme, steps, time=1.0):
    state = tw.run(tw.Method(law, scheme, time / steps), START, steps, record=None).state
    return np.concatenate([state.position, state.auxiliary["mean"], state.auxiliary["square"]])


ORDERS = {
    "euler": (tw.Euler(), 1), "heun": (tw.Heun(), 2), "rk4": (tw.RK4(), 4),
    "rkc1": (tw.RungeKuttaChebyshev(1, 3), 1), "rkc2": (tw.RungeKuttaChebyshev(2, 4), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_adam_as_a_flow_is_followed_at_the_order_of_the_scheme(name):
    scheme, order = ORDERS[name]
    exact = adam_by_scipy(1.0)
    errors = [end(Adam(BOWL), scheme, steps) - exact for steps in (128, 256)]
    # Of every part of the phase, not of the position alone.
    coarse, fine = (np.linalg.norm(np.split(error, 3), axis=1) for error in errors)
    np.testing.assert_allclose(np.log2(coarse / fine), order, atol=0.1)


def test_its_order_is_measured_as_that_of_any_law():
    found = tw.analysis.convergence_order(tw.Method(Adam(BOWL), tw.RK4(), 0.1), START, horizon=1.0)
    assert found.order == pytest.approx(4.0, abs=0.1)
    both = {"euler": tw.Method(Adam(BOWL), tw.Euler(), 0.1), "rk4": tw.Method(Adam(BOWL), tw.RK4(), 0.1)}
    result = tw.work_precision(both, START, until=1.0, steps=[32, 64], repeats=1)
    assert result.orders["euler"] == pytest.approx(1.0, abs=0.1) and result.cheapest(1e-3) == "rk4"


def test_tolerances_are_kept_on_the_whole_phase():
    method = tw.Method(Adam(BOWL), tw.Adaptive(tw.Tsit5(), rtol=1e-9, atol=1e-11, until=1.0), 0.1)
    state = tw.run(method, START, 10_000, record=None).state
    found = np.concatenate([state.position, state.auxiliary["mean"], state.auxiliary["square"]])
    np.testing.assert_allclose(found, adam_by_scipy(1.0), rtol=0, atol=1e-8)


def test_a_run_and_steps_by_hand_agree_on_a_tree():
    f = tw.Objective(lambda x: BOWL.value(jnp.stack([x["a"], x["b"][0]])))
    start = {"a": START[0], "b": START[1:]}
    method = tw.Method(Adam(f), tw.Heun(), 0.1)
    state = method.init(start)
    for _ in range(5):
        state = method.step(state)
    found = tw.run(method, start, 5).final.position
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(state.position), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)


def test_a_resumed_run_has_all_of_its_variables(tmp_path):
    method = tw.Method(Adam(BOWL), tw.RK4(), 0.05)
    tw.run(method, START, 7, out=tmp_path / "run")
    resumed = tw.run(method, START, 20, out=tmp_path / "run", resume=True).state
    whole = tw.run(method, START, 20).state
    for one, other in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(one, other)


class Corrected(AbstractFirstOrder):
    """Adam as a flow with its bias correction, which is singular at t = 0, where its limit is the gradient alone."""

    objective: Any
    begin: float = 0.0

    @property
    def autonomous(self):
        return False

    @property
    def start_time(self):
        return jnp.asarray(self.begin, float)

    def initial_auxiliary(self, position):
        # As if the gradient had been the same since t = 0.
        gradient = self.objective.gradient(position)
        return -np.expm1(-FIRST * self.begin) * gradient, -np.expm1(-SECOND * self.begin) * gradient**2

    def rates(self, time, phase, evaluation):
        (mean, square), gradient = phase.auxiliary, evaluation.gradient
        started = time > 0
        t = jnp.where(started, time, 1.0)
        first = jnp.where(started, mean / -jnp.expm1(-FIRST * t), gradient)
        second = jnp.where(started, square / -jnp.expm1(-SECOND * t), gradient**2)
        # The root of zero has no derivative.
        root = jnp.where(second > 0, jnp.sqrt(jnp.where(second > 0, second, 1.0)), 0.0)
        return Phase(-first / (root + EPSILON), auxiliary=(FIRST * (gradient - mean), SECOND * (gradient**2 - square)))


def corrected_by_scipy(begin, time):
    def field(t, y):
        x, m, v = np.split(y, 3)
        g = np.array([1.0, 4.0]) * x + 0.4 * x**3
        first, second = (m / -np.expm1(-FIRST * t), v / -np.expm1(-SECOND * t)) if t > 0 else (g, g * g)
        return np.concatenate([-first / (np.sqrt(second) + EPSILON), FIRST * (g - m), SECOND * (g * g - v)])

    y0 = np.concatenate([START, *Corrected(BOWL, begin).initial_auxiliary(START)])
    solved = solve_ivp(field, (begin, begin + time), y0, "DOP853", rtol=1e-13, atol=1e-15, first_step=1e-6)
    return solved.y[:2, -1]


@pytest.mark.parametrize(
    ("begin", "scheme", "low", "high"),
    [
        (0.0, "euler", 0.95, 1.05), (0.0, "heun", 1.7, 2.0), (0.0, "rk4", 2.9, 3.1),
        (0.1, "euler", 0.9, 1.1), (0.1, "heun", 1.9, 2.1), (0.1, "rk4", 3.9, 4.1),
    ],
)  # fmt: skip
def test_the_correction_of_adam_costs_order_at_time_zero_alone(begin, scheme, low, high):
    """Like 1/t the field has no derivative at 0: orders 1, 2 up to a logarithm, 3; from a later time 1, 2, 4."""
    exact, law = corrected_by_scipy(begin, 0.25), Corrected(BOWL, begin)
    errors = []
    for steps in (64, 128):
        end = tw.run(tw.Method(law, ORDERS[scheme][0], 0.25 / steps), START, steps, record=None).final.position
        errors.append(float(jnp.linalg.norm(end - exact)))
    assert low <= np.log2(errors[0] / errors[1]) <= high


@pytest.mark.slow
def test_the_correction_of_adam_has_a_derivative_at_time_zero():
    def end(x):
        return jnp.sum(tw.solve(tw.Method(Corrected(BOWL), tw.RK4(), 0.01), x, 10).final.position)

    found, step = jax.grad(end)(START), 1e-6
    for i, direction in enumerate(np.eye(2)):
        across = (end(START + step * direction) - end(START - step * direction)) / (2 * step)
        assert float(found[i]) == pytest.approx(float(across), abs=1e-8)
    # Where a gradient is zero from the start, too.
    assert np.isfinite(jax.grad(end)(jnp.array([1.0, 0.0]))).all()


SCHEMES = {
    "euler": tw.Euler(), "heun": tw.Heun(), "rk4": tw.RK4(), "tsit5": tw.Tsit5(), "rkc1": tw.RungeKuttaChebyshev(1, 5),
    "rkc": tw.RungeKuttaChebyshev(), "rkl2": tw.RungeKuttaLegendre(2, 5), "adaptive": tw.Adaptive(),
    "leapfrog": tw.Leapfrog(), "zero": tw.Leapfrog(start="zero"), "lookahead": tw.Lookahead(1.0),
    "restarted": tw.Restarted(), "implicit_euler": tw.ImplicitEuler(), "implicit_midpoint": tw.ImplicitMidpoint(),
    "rosenbrock": tw.RosenbrockEuler(), "exponential": tw.ExponentialEuler(), "pseudo_transient": tw.PseudoTransient(),
    "adaptive_chebyshev": tw.AdaptiveChebyshev(), "euler_maruyama": tw.EulerMaruyama(), "baoab": tw.Splitting("BAOAB"),
    "stochastic_heun": tw.StochasticHeun(), "leimkuhler_matthews": tw.LeimkuhlerMatthews(),
    "mala": tw.MetropolisAdjustedLangevin(), "replica_exchange": tw.ReplicaExchange(tw.MetropolisAdjustedLangevin()),
}  # fmt: skip


# What takes seconds to compile is among the slow ones here; all pairs stand in tests/_methods/test_pairs.py.
COSTLY = {"rkc", "implicit_euler", "implicit_midpoint", "exponential", "pseudo_transient", "adaptive_chebyshev"}


@pytest.mark.parametrize(
    "scheme", [pytest.param(name, marks=[pytest.mark.slow] if name in COSTLY else []) for name in SCHEMES]
)
@pytest.mark.parametrize("law", [Adam, Averaging, Damped])
def test_every_scheme_moves_all_of_a_phase_or_refuses_the_law(law, scheme):
    try:
        method = tw.Method(law(BOWL), SCHEMES[scheme], 0.1)
    except tw.InputError:
        return
    state = method.init(START)
    after = method.step(state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    # The second step of a law from rest, and of a scheme that rejects its first ones a later one, moves all of it.
    for _ in range(9):
        after = method.step(after)
    before, moved = jax.tree.leaves(state.auxiliary), jax.tree.leaves(after.auxiliary)
    assert all(bool(jnp.any(a != b)) for a, b in zip(before, moved, strict=True))


def test_those_that_move_all_of_it_are_many_and_the_others_say_why():
    accepted, reasons = [], []
    for name, scheme in SCHEMES.items():
        try:
            tw.Method(Adam(BOWL), scheme, 0.1)
            accepted.append(name)
        except tw.InputError as error:
            reasons.append(str(error))
    assert {"euler", "heun", "rk4", "tsit5", "rkc1", "rkl2", "adaptive"} <= set(accepted)
    assert (
        "Adam has variables besides position and velocity, which PseudoTransient would leave where they are"
        in " ".join(reasons)
    )
    with pytest.raises(tw.InputError, match="Damped has variables besides position and velocity, which Leapfrog would"):
        tw.Method(Damped(BOWL), tw.Leapfrog(), 0.1)


def test_a_law_that_leaves_its_variables_out_is_told_so():
    method = tw.Method(Forgetful(BOWL), tw.Euler(), 0.1)
    with pytest.raises(tw.InputError, match="Forgetful: rates must give auxiliary of the structure"):
        tw.run(method, START, 3)


def test_an_optax_transformation_keeps_them():
    method = tw.Method(Adam(BOWL), tw.Euler(), 0.1)
    optimizer, x = tw.adapters.optax.transformation(method), START
    state = optimizer.init(x)
    for _ in range(5):
        updates, state = optimizer.update(BOWL.gradient(x), state, x)
        x = jax.tree.map(jnp.add, x, updates)
    np.testing.assert_allclose(x, tw.run(method, START, 5).final.position, rtol=1e-12)


def test_what_keeps_no_such_variables_refuses_them():
    method = tw.Method(Adam(BOWL), tw.Euler(), 0.1)
    with pytest.raises(tw.InputError, match="has variables besides position and velocity, which a trace does not keep"):
        tw.analysis.energy_account(tw.run(method, START, 3, record=1))
    torch = pytest.importorskip("torch")
    with pytest.raises(tw.InputError, match="has variables besides position and velocity, which the torch optimizer"):
        tw.adapters.torch.Optimizer([torch.nn.Parameter(torch.ones(2))], method)


def test_the_splitting_of_the_frameworks_is_another_scheme_of_the_same_flow():
    """optax's Adam without correction: exact averages over a step, then the drift, of first order to the same end."""
    exact = adam_by_scipy(1.0)[:2]

    def by_optax(steps):
        h = 1.0 / steps
        optimizer = optax.scale_by_adam(np.exp(-FIRST * h), np.exp(-SECOND * h), EPSILON, eps_root=0.0)
        state = optimizer.init(START)._replace(mu=jnp.full(2, 0.1), nu=jnp.full(2, 0.5))
        x = START
        for k in range(steps):
            # The correction that optax makes is undone.
            grown = [1 - np.exp(-rate * h * (k + 1)) for rate in (FIRST, SECOND)]
            gradient = BOWL.gradient(x)
            mean = np.exp(-FIRST * h) * state.mu + (1 - np.exp(-FIRST * h)) * gradient
            square = np.exp(-SECOND * h) * state.nu + (1 - np.exp(-SECOND * h)) * gradient**2
            _, state = optimizer.update(gradient, state)
            np.testing.assert_allclose(state.mu, mean, rtol=1e-12)
            np.testing.assert_allclose(state.nu, square, rtol=1e-12)
            assert grown[0] > grown[1] > 0
            x = x - h * mean / (jnp.sqrt(square) + EPSILON)
        return x

    errors = [float(jnp.linalg.norm(by_optax(steps) - exact)) for steps in (64, 128)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.1)


def test_values_and_gradients_of_laws_that_were_there_agree_with_their_rates():
    laws = [tw.GradientFlow(BOWL, 2.0), tw.HeavyBall(BOWL, 0.5, 2.0), tw.HessianDampedFlow(BOWL, 0.3, friction=0.2)]
    push = jnp.array([0.3, -0.2])
    gradient, hessian = BOWL.gradient(START), jax.hessian(BOWL.value)(START)
    expected = [-2.0 * gradient, (-gradient - 0.5 * push) / 2.0, -gradient - 0.2 * push - 0.3 * hessian @ push]
    for law, known in zip(laws, expected, strict=True):
        phase = Phase(START, None if law.order == 1 else push)
        rates = law.rates(None, phase, law.evaluate(None, phase))
        found: Array = rates.position if law.order == 1 else rates.velocity
        np.testing.assert_allclose(found, known, rtol=1e-13)
