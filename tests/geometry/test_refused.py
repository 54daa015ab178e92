"""What has no right form in a geometry says so in one line, and what does not ask for one is as before."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.dynamics import AbstractDamped, AbstractFirstOrder, Phase
from thalweg.geometry import AbstractMetric

SPHERE = tw.geometry.Sphere()
START = jnp.array([0.48, -0.64, 0.6])


def f(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 2.0, 5.0]) * x**2)


FLOW = tw.GradientFlow(f, geometry=SPHERE)
BALL = tw.HeavyBall(f, 0.5, geometry=SPHERE)


class Halved(AbstractMetric):
    def velocity(self, position, covector):
        return 0.5 * covector

    def inner(self, position, u, v):
        return 2.0 * jnp.sum(u * v)


ON_A_FLOW = [
    tw.RungeKuttaChebyshev(2, 4),
    tw.RungeKuttaLegendre(stages=4),
    tw.AdaptiveChebyshev(),
    tw.ExponentialEuler(),
    tw.ImplicitEuler(),
    tw.ImplicitMidpoint(),
    tw.RosenbrockEuler(),
    tw.PseudoTransient(),
    tw.LevenbergMarquardt(),
]
ON_A_BALL = [tw.ImplicitMidpoint(), tw.ExponentialEuler()]


def name_of(scheme):
    return type(scheme).__name__


@pytest.mark.parametrize("scheme", ON_A_FLOW, ids=name_of)
def test_a_scheme_that_would_leave_the_sphere_refuses_a_flow_on_it(scheme):
    message = f"{name_of(scheme)} adds vectors of flat space, and would leave Sphere; use tw.Euler()"
    with pytest.raises(tw.InputError) as caught:
        tw.Method(FLOW, scheme, 0.1)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("scheme", ON_A_BALL, ids=name_of)
def test_a_scheme_that_would_leave_the_sphere_refuses_a_ball_on_it(scheme):
    message = f"{name_of(scheme)} adds vectors of flat space, and would leave Sphere; use tw.Leapfrog()"
    with pytest.raises(tw.InputError) as caught:
        tw.Method(BALL, scheme, 0.1)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("scheme", [*ON_A_FLOW[2:], tw.RungeKuttaChebyshev()], ids=name_of)
def test_a_scheme_that_takes_the_gradient_for_the_slope_refuses_a_metric(scheme):
    message = r"takes the gradient of f for|chooses its stages by the curvature of f, which Halved makes another"
    with pytest.raises(tw.InputError, match=message):
        tw.Method(tw.GradientFlow(f, geometry=Halved()), scheme, 0.1)


@pytest.mark.parametrize("scheme", [tw.Leapfrog(), tw.Lookahead()], ids=name_of)
def test_a_ball_of_ones_own_in_a_metric_is_refused(scheme):
    class Ball(AbstractDamped):
        objective: tw.Objective
        geometry: AbstractMetric | None = None

        def friction_at(self, time):
            return 0.5

    assert tw.Method(Ball(tw.Objective(f)), scheme, 0.1).gradients_per_step == 1
    with pytest.raises(tw.InputError, match="takes the gradient of f for that of the law, which Halved makes another"):
        tw.Method(Ball(tw.Objective(f), Halved()), scheme, 0.1)
    with pytest.raises(tw.InputError, match="Ball needs a manifold, but Halved is a metric alone, whose Christoffel"):
        tw.Method(Ball(tw.Objective(f), Halved()), tw.RK4(), 0.1)


def test_variables_of_a_laws_own_are_not_carried_along_a_manifold():
    class Averaging(AbstractFirstOrder):
        objective: tw.Objective
        geometry: tw.geometry.AbstractManifold | None = None

        def initial_auxiliary(self, position):
            return jnp.zeros_like(position)

        def rates(self, time, phase, evaluation):
            return Phase(-phase.auxiliary, None, evaluation.gradient - phase.auxiliary)

    with pytest.raises(tw.InputError, match=r"Averaging has variables besides .* cannot be carried along Sphere"):
        tw.Method(Averaging(tw.Objective(f), SPHERE), tw.RK4(), 0.1)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ("sphere", "geometry must be one of tw.geometry, such as tw.geometry.Sphere"),
        (tw.geometry.Sphere, r"geometry must be an instance: Sphere\(\), not the class"),
        (2.0, "geometry must be one of tw.geometry"),
    ],
)
@pytest.mark.parametrize("law", [lambda g: tw.GradientFlow(f, geometry=g), lambda g: tw.HeavyBall(f, 1.0, geometry=g)])
def test_what_is_no_geometry_is_refused(law, geometry, message):
    with pytest.raises(tw.InputError, match=message):
        law(geometry)


@pytest.mark.parametrize("law", [FLOW, tw.GradientFlow(f, geometry=Halved()), BALL], ids=["flow", "metric", "ball"])
def test_what_takes_flat_space_for_granted_refuses_a_geometry(law):
    method = tw.Method(law, tw.Leapfrog(start="zero") if law is BALL else tw.Euler(), 0.1)
    run = tw.run(method, START, 5, record=1)
    noisy = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.ones((4, 3)), batch_size=1)
    flat = (
        lambda: tw.analysis.amplification(method, 1.0),
        lambda: tw.analysis.spectral_radius(method, [1.0]),
        lambda: tw.analysis.contraction_per_gradient(method, [1.0]),
        lambda: tw.analysis.largest_stable_step(method, 1.0),
        lambda: tw.analysis.largest_stable_learning_rate(method, 1.0),
        lambda: tw.analysis.stationary_covariance(method, 1.0, 1.0),
        lambda: tw.analysis.transient_covariance(method, 1.0, 3, noise_covariance=1.0),
        lambda: tw.analysis.modified_equation(method, 1.0),
        lambda: tw.analysis.energy_account(run),
        lambda: tw.analysis.lyapunov(run),
        lambda: method.diffusion_limit(1.0),
        lambda: method.temperature(1.0),
        lambda: method.temperature(1.0, hessian=2.0),
        lambda: tw.adapters.scipy.minimizer(method),
        lambda: tw.adapters.torch.Optimizer([], method),
        lambda: tw.sample(method.with_objective(noisy), START, 10, key=0),
        lambda: tw.adapters.blackjax.sampling_algorithm(method.with_objective(noisy)),
    )
    for attempt in flat:
        with pytest.raises(tw.InputError, match=r"is for laws in flat space, but \w+ has the geometry (Sphere|Halved)"):
            attempt()


def test_runs_are_compared_without_the_limits_of_flat_space():
    methods = {
        "sphere": tw.Method(FLOW, tw.Euler(), 0.1),
        "ball": tw.Method(BALL, tw.Leapfrog(), 0.1),
    }
    found = tw.compare(methods, START, max_steps=60)
    assert [entry.predicted_limit for entry in found.entries] == [None, None]
    # Unbounded but on the sphere, where nothing is to be looked for off it.
    plunge = tw.Method(tw.GradientFlow(lambda x: x[0] ** 3 + x[0], geometry=SPHERE), tw.Heun(), 0.1)
    found = tw.compare({"sphere": plunge}, START, max_steps=200)
    np.testing.assert_allclose(found.minimiser, [-1.0, 0.0, 0.0], rtol=0, atol=1e-6)


def test_a_run_that_diverges_tells_no_limit_of_flat_space():
    run = tw.run(tw.Method(tw.GradientFlow(f, geometry=Halved()), tw.Euler(), 2.0), START, 500)
    assert run.status == "diverged" and "limit" not in run.message


def test_work_and_precision_are_measured_on_the_sphere():
    both = {name: tw.Method(FLOW, scheme, 0.1) for name, scheme in (("Euler", tw.Euler()), ("Heun", tw.Heun()))}
    found = tw.work_precision(both, START, until=1.0, steps=(64, 128), repeats=1)
    assert {name: round(order, 1) for name, order in found.orders.items()} == {"Euler": 1.0, "Heun": 2.0}
    with pytest.raises(tw.InputError, match="has one of length 2"):
        tw.work_precision(both, jnp.array([2.0, 0.0, 0.0]), until=1.0, steps=(64, 128))
    mixed = both | {"flat": tw.Method(tw.GradientFlow(f), tw.Heun(), 0.1)}
    with pytest.raises(tw.InputError, match=r"follows GradientFlow\(rate 1, geometry Sphere\) and 'flat' .*\(rate 1\)"):
        tw.work_precision(mixed, START, until=1.0, steps=(64, 128))


def test_a_start_off_the_sphere_is_refused_by_every_entrance():
    method = tw.Method(BALL, tw.Leapfrog(), 0.1)
    off, push = 2.0 * START, jnp.ones(3)
    for attempt in (
        lambda: method.init(off),
        lambda: tw.run(method, off, 3),
        lambda: tw.solve(method, off, 3),
        lambda: tw.compare({"a": method}, off, max_steps=3),
        lambda: tw.sweep(lambda friction: tw.Method(tw.HeavyBall(f, friction, geometry=SPHERE), tw.Leapfrog(), 0.1),
                         {"friction": [0.1]}, off, 3),
        lambda: tw.analysis.convergence_order(method, off, 1.0, (4, 8)),
    ):  # fmt: skip
        with pytest.raises(tw.InputError, match=r"Sphere needs unit vectors .* has one of length 2"):
            attempt()
    for attempt in (
        lambda: method.init(START, push),
        lambda: tw.run(method, START, 3, velocity=push),
        lambda: tw.solve(method, START, 3, velocity=push),
        lambda: tw.analysis.convergence_order(method, START, 1.0, (4, 8), push),
    ):
        with pytest.raises(tw.InputError, match=r"must be tangent to Sphere at the start, but 0\.254 of it is not"):
            attempt()
    # Of a traced start the numbers are not known.
    assert jax.eval_shape(method.init, off).position.shape == (3,)


@pytest.mark.parametrize("geometry", [None, tw.geometry.Euclidean()])
def test_flat_space_costs_nothing(geometry):
    for law, scheme in ((tw.GradientFlow, tw.RK4()), (lambda *a, **k: tw.HeavyBall(*a, 0.5, **k), tw.Lookahead())):
        method, plain = (tw.Method(made, scheme, 0.1) for made in (law(f, geometry=geometry), law(f)))
        assert method.dynamics.geometry is None and method.dynamics.elementwise
        assert jax.tree.structure(eqx.filter(method, eqx.is_array)) == jax.tree.structure(
            eqx.filter(plain, eqx.is_array)
        )
        steps = [str(jax.make_jaxpr(lambda s, m=m: jax.tree.leaves(m.step(s)))(m.init(START))) for m in (method, plain)]
        assert steps[0] == steps[1]


def test_a_recorder_tells_no_margin_on_a_sphere(tmp_path):
    with tw.Recorder(tmp_path / "run", tw.Method(FLOW, tw.Euler(), 0.1)) as recorder:
        recorder.log(loss=1.0)
        with pytest.raises(tw.InputError, match="a stability margin is of laws in flat space"):
            recorder.log(loss=1.0, curvature=2.0)
    assert recorder.run.metrics["loss"].tolist() == [1.0]
    assert 'geometry = "Sphere()"' in (tmp_path / "run" / "run.toml").read_text()


LANGEVIN = tw.OverdampedLangevin(f, 1.0, geometry=SPHERE)
BATH = tw.UnderdampedLangevin(f, 1.0, 1.0, geometry=SPHERE)
NOISE_REFUSED = {
    "half a noise of another point": (
        lambda: tw.Method(LANGEVIN, tw.LeimkuhlerMatthews(), 0.1),
        r"made for noise that is the same everywhere, which it is not in Sphere; use tw.EulerMaruyama\(\)",
    ),
    "a proposal": (
        lambda: tw.Method(LANGEVIN, tw.MetropolisAdjustedLangevin(), 0.1), "which it is not in Sphere",
    ),
    "velocities of flat space": (
        lambda: tw.Method(BATH, tw.EulerMaruyama(), 0.1), r'would leave Sphere; use tw.Splitting\("BAOAB"\)',
    ),
    "a norm": (
        lambda: tw.OverdampedLangevin(f, 1.0, geometry=tw.geometry.Norm("l2")), "Norm is of no inner product",
    ),
    "a metric without a root": (
        lambda: tw.OverdampedLangevin(f, 1.0, geometry=Halved()), "Halved does not know the root and the divergence",
    ),
    "an operator": (
        lambda: tw.OverdampedLangevin(f, 1.0, geometry=tw.geometry.Metric(operator=lambda v: v)),
        "which of an operator is not known; give Metric a matrix, a diagonal or a number",
    ),
    "an operator among parts": (
        lambda: tw.OverdampedLangevin(
            f, 1.0, geometry=tw.geometry.Product([tw.geometry.Metric(operator=lambda v: v), None])),
        "which of an operator is not known",
    ),
    "a metric beside a sphere": (
        lambda: tw.OverdampedLangevin(f, 1.0, geometry=tw.geometry.Product([tw.geometry.Metric(2.0), SPHERE])),
        "steps in Metric add vectors of flat space, and would leave Sphere",
    ),
    "a mass in a metric": (
        lambda: tw.UnderdampedLangevin(f, 1.0, 1.0, geometry=tw.geometry.Metric(2.0)),
        "tw.UnderdampedLangevin needs a manifold, .* take it in tw.OverdampedLangevin",
    ),
    "fading friction in a mirror map": (
        lambda: tw.NesterovFlow(f, geometry=tw.geometry.Mirror("entropy")), "tw.NesterovFlow needs a manifold",
    ),
    "momentum without a manifold": (
        lambda: tw.riemannian_momentum(f, 0.1), "such as tw.geometry.Sphere.*; without one it is tw.momentum",
    ),
    "a step by curvature": (
        lambda: tw.sample(BATH, START, 10), "a step is chosen by the curvature of flat space, .* Sphere; give one: tw",
    ),
    "chains off the sphere": (
        lambda: tw.sample(tw.Method(LANGEVIN, tw.EulerMaruyama(), 0.1), 2.0 * START, 10), "has one of length 2",
    ),
    "a covariance on the sphere": (
        lambda: tw.analysis.stationary_covariance(tw.Method(LANGEVIN, tw.EulerMaruyama(), 0.1), 1.0),
        "the linear probe is for laws in flat space, but OverdampedLangevin has the geometry Sphere",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOISE_REFUSED)
def test_noise_and_momentum_that_would_be_wrong_are_refused_in_one_line(case):
    attempt, message = NOISE_REFUSED[case]
    with pytest.raises(tw.InputError, match=message) as caught:
        attempt()
    assert "\n" not in str(caught.value)
