"""Laws that look at the shapes of their parameters: all that ravels follows them as steps on the tree do."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.dynamics import AbstractDamped, AbstractFirstOrder, AbstractSecondOrder, AbstractWhite, Phase

AIM = {"w": jnp.array([[1.0, 0.5, 0.2], [-0.3, 2.0, 0.1]]), "b": jnp.array([0.4, -0.2])}
START = {"w": jnp.array([[0.1, -0.4, 0.3], [0.9, 0.2, -0.7]]), "b": jnp.array([1.0, 1.0])}
PUSH = {"w": jnp.ones((2, 3)), "b": jnp.array([0.3, -0.1])}


def distance(x):
    return 0.5 * sum(jnp.sum((x[name] - AIM[name]) ** 2) for name in AIM) + 0.1 * jnp.sum(x["b"] ** 4)


def polar(leaf):
    """The polar factor of a matrix, a vector as it is."""
    if leaf.ndim < 2:
        return leaf
    u, _, v = jnp.linalg.svd(leaf, full_matrices=False)
    return u @ v


def matrices(tree):
    return jax.tree.map(polar, tree)


def scaled(factor, tree):
    return jax.tree.map(lambda leaf: factor * leaf, tree)


class Spectral(AbstractFirstOrder):
    """Steepest descent in the spectral norm."""

    objective: Any

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, matrices(evaluation.gradient)))


class SpectralBall(AbstractDamped):
    """A ball whose force is the polar factor of the gradient."""

    objective: Any

    def friction_at(self, time):
        del time
        return 0.7

    def force_of(self, time, evaluation):
        del time
        return scaled(-1.0, matrices(evaluation.gradient))


class Averaged(AbstractSecondOrder):
    """The same of an average of gradients taken ahead of where the ball is: a memory, shapes and another point."""

    objective: Any

    def initial_velocity(self, position, batch=None):
        return scaled(-0.1, self.objective.gradient(position, batch))

    def initial_auxiliary(self, position):
        return scaled(0.5, position)

    def evaluate(self, time, phase, batch=None):
        ahead = jax.tree.map(lambda x, v: x + 0.2 * v, phase.position, phase.velocity)
        return super().evaluate(time, phase._replace(position=ahead), batch)

    def rates(self, time, phase, evaluation):
        del time
        pull = matrices(phase.auxiliary)
        return Phase(
            phase.velocity,
            jax.tree.map(lambda p, v: -p - v, pull, phase.velocity),
            jax.tree.map(lambda g, m: 2.0 * (g - m), evaluation.gradient, phase.auxiliary),
        )


F = tw.Objective(distance)
METHODS = {
    "euler": tw.Method(Spectral(F), tw.Euler(), 0.1),
    "rk4": tw.Method(Spectral(F), tw.RK4(), 0.1),
    "rkc": tw.Method(Spectral(F), tw.RungeKuttaChebyshev(1, 4), 0.1),
    "adaptive": tw.Method(Spectral(F), tw.Adaptive(tw.Tsit5(), 1e-4, 1e-6), 0.01),
    "leapfrog": tw.Method(SpectralBall(F), tw.Leapfrog(), 0.1),
    "lookahead": tw.Method(SpectralBall(F), tw.Lookahead(1.0, start="zero"), 0.1),
    "ball rk4": tw.Method(SpectralBall(F), tw.RK4(), 0.1),
    "averaged heun": tw.Method(Averaged(F), tw.Heun(), 0.1),
}


def close(one, other, tolerance=1e-13):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


QUICK = ("euler", "leapfrog", "averaged heun")


@pytest.mark.parametrize("velocity", [None, PUSH], ids=["at rest", "pushed"])
@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in METHODS])
def test_a_run_makes_the_steps_that_the_tree_makes(name, velocity):
    method = METHODS[name]
    if velocity is not None and method.dynamics.order == 1:
        return
    state = method.init(START, velocity)
    for _ in range(5):
        state = method.step(state)
    run = tw.run(method, START, 5, velocity=velocity, record=tw.Record(("loss", "gradient_norm"), positions=1))
    # The length of an adaptive step follows from an error whose digits are those left of a difference.
    tolerance = 1e-9 if name == "adaptive" else 1e-13
    close(run.final.position, state.position, tolerance)
    close(run.final.lookahead, state.lookahead, tolerance)
    close(tw.solve(method, START, 5, velocity=velocity).final.position, state.position, tolerance)
    assert run.gradients == method.gradients_at_start + 5 * method.gradients_per_step
    np.testing.assert_allclose(run.metrics["loss"][-1], distance(state.lookahead), rtol=10 * tolerance)
    assert jax.tree.map(jnp.shape, run.trace.position) == jax.tree.map(lambda leaf: (6, *leaf.shape), START)


def test_shapes_matter():
    """What ravels behind the law's back takes the gradient for a vector, and is elsewhere."""
    method = METHODS["euler"]
    moved = method.step(method.init(START)).position["w"]
    assert float(jnp.max(jnp.abs(moved - (START["w"] - 0.1 * jax.grad(distance)(START)["w"])))) > 0.01


def test_a_run_goes_on_from_its_directory(tmp_path):
    method = METHODS["averaged heun"]
    tw.run(method, START, 4, out=tmp_path / "run")
    resumed = tw.run(method, START, 9, out=tmp_path / "run", resume=True)
    close(resumed.final.position, tw.run(method, START, 9).final.position, 0.0)


def test_a_sweep_follows_the_law():
    steps = (0.05, 0.1)
    found = tw.sweep(lambda step_size: METHODS["rk4"].with_step_size(step_size), {"step_size": steps}, START, 5)
    for i, step in enumerate(steps):
        alone = tw.run(METHODS["rk4"].with_step_size(step), START, 5).final.position
        close(jax.tree.map(lambda leaf, i=i: leaf[i, 0], found.final), alone, 1e-12)


@pytest.mark.slow
def test_orders_and_precision_are_those_of_the_law():
    found = tw.analysis.convergence_order(METHODS["rk4"], START, horizon=0.5, steps=(8, 16, 32, 64))
    assert found.order == pytest.approx(4.0, abs=0.15)
    found = tw.analysis.convergence_order(METHODS["averaged heun"], START, horizon=0.5)
    assert found.order == pytest.approx(2.0, abs=0.1)
    both = {"euler": METHODS["euler"], "rk4": METHODS["rk4"]}
    result = tw.work_precision(both, START, until=0.5, steps=[16, 32], repeats=1)
    assert result.orders["euler"] == pytest.approx(1.0, abs=0.1) and result.orders["rk4"] == pytest.approx(4.0, abs=0.3)


def test_a_comparison_runs_it():
    entry = tw.compare({"euler": METHODS["euler"]}, START, max_steps=30, limits=False)["euler"]
    assert np.isfinite(entry.loss) and entry.steps == 30


class OfMatrices(AbstractFirstOrder):
    """The polar factor alone, which a vector has not."""

    objective: Any

    def rates(self, time, phase, evaluation):
        del time, phase
        u, _, v = jnp.linalg.svd(evaluation.gradient, full_matrices=False)
        return Phase(-u @ v)


def test_a_law_of_one_matrix_alone():
    aim, start = jnp.array([[1.0, 0.3], [0.2, 2.0]]), jnp.array([[0.1, -0.4], [0.9, 0.2]])
    method = tw.Method(OfMatrices(tw.Objective(lambda x: 0.5 * jnp.sum((x - aim) ** 2))), tw.Euler(), 0.1)
    x = np.asarray(start)
    for _ in range(5):
        u, _, v = np.linalg.svd(x - np.asarray(aim))
        x = x - 0.1 * u @ v
    run = tw.run(method, start, 5)
    np.testing.assert_allclose(run.final.position, x, rtol=1e-12)
    assert (run.gradients, method.gradients_per_step) == (5, 1)


class NoisyMatrices(AbstractFirstOrder, AbstractWhite):
    objective: Any

    def diffusion(self, time):
        del time
        return jnp.asarray(0.1)

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, matrices(evaluation.gradient)))


class NoisyNumbers(AbstractFirstOrder, AbstractWhite):
    objective: Any
    elementwise: ClassVar[bool] = True

    def diffusion(self, time):
        del time
        return jnp.asarray(0.1)

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, evaluation.gradient))


def test_noise_asks_whether_shapes_matter(tmp_path):
    method = tw.Method(NoisyMatrices(F), tw.EulerMaruyama(), 0.1)
    with pytest.raises(tw.InputError, match="NoisyMatrices draws noise and may look at the shapes of its parameters"):
        tw.run(method, START, 3, key=0, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(tw.InputError, match="say elementwise = True in its class"):
        tw.sample(method, START, 5, progress=False)
    assert tw.run(tw.Method(NoisyNumbers(F), tw.EulerMaruyama(), 0.1), START, 3, key=0).status == "finished"


@pytest.mark.parametrize(
    ("scheme", "part"),
    [pytest.param(tw.ImplicitEuler(), 1.0, marks=pytest.mark.slow), (tw.ImplicitMidpoint(), 0.5)],
)
def test_a_force_of_ones_own_is_solved_for_as_it_is(scheme, part):
    """The equation of the scheme holds with the law's own acceleration, not with the gradient of its objective."""
    law = SpectralBall(F)
    method = tw.Method(law, scheme, 0.1)
    after = method.step(method.init(START, PUSH))

    def between(x, y):
        return jax.tree.map(lambda a, b: (1 - part) * a + part * b, x, y)

    middle, speed = between(START, after.position), between(PUSH, after.velocity)
    acceleration = law.acceleration(None, middle, speed)
    for name in START:
        np.testing.assert_allclose(after.position[name], START[name] + 0.1 * speed[name], atol=1e-7)
        np.testing.assert_allclose(after.velocity[name], PUSH[name] + 0.1 * acceleration[name], atol=1e-7)
    with pytest.raises(tw.InputError, match="SpectralBall does not lead"):
        tw.Method(law, tw.ImplicitEuler(preconditioner=jnp.ones(8)), 0.1)


@pytest.mark.parametrize("row", tw.table(), ids=lambda row: row.name)
def test_our_laws_are_run_on_one_vector(row):
    # Muon is of matrices.
    assert row.dynamics.elementwise == (row.name != "muon")
