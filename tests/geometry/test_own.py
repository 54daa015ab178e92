"""Geometries of a user's own, written out of tree with the public abstract classes alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.geometry import AbstractEmbedded, AbstractManifold, AbstractMetric


class Cylinder(AbstractEmbedded):
    """The surface x^2 + y^2 = 1 in space."""

    def project(self, position):
        return position.at[:2].divide(jnp.linalg.norm(position[:2]))

    def tangent(self, position, vector):
        normal = position.at[2].set(0.0)
        return vector - (normal @ vector) * normal

    def bend(self, position, velocity):
        normal = position.at[2].set(0.0)
        return -jnp.sum(velocity[:2] ** 2) * normal

    def _turned(self, position, along, vector):
        angle = position[0] * along[1] - position[1] * along[0]
        c, s = jnp.cos(angle), jnp.sin(angle)
        return jnp.stack([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1], vector[2]])

    def move(self, position, tangent):
        turned = self._turned(position, tangent, position)
        return self.project(turned.at[2].add(tangent[2]))

    def transport(self, position, along, tangent):
        return self._turned(position, along, tangent)


class HalfPlane(AbstractManifold):
    """The hyperbolic plane: (x, y) with y > 0, and the metric of the plane over y^2. Without a surrounding space."""

    def velocity(self, position, covector):
        return position[1] ** 2 * covector

    def inner(self, position, u, v):
        return u @ v / position[1] ** 2

    def check(self, position):
        if not position[1] > 0:
            raise tw.InputError("the half plane is y > 0")

    def _end(self, position, along):
        """The geodesic by a Moebius map of the vertical one, as complex numbers: z -> (az + b)/(cz + d)."""
        x, y = position
        speed = jnp.linalg.norm(along) / y
        # The rotation about i that turns up into the direction of `along`, half its angle.
        half = 0.5 * (jnp.arctan2(along[1], along[0]) - 0.5 * jnp.pi)
        a, b, c, d = jnp.cos(half), -jnp.sin(half), jnp.sin(half), jnp.cos(half)
        up = 1j * jnp.exp(speed)
        z = (a * up - b) / (-c * up + d)
        # Turned by twice the argument of the derivative, relative to the vertical geodesic, which turns nothing.
        turn = -2 * jnp.angle(-c * up + d) + 2 * jnp.angle(-c * 1j + d)
        return jnp.stack([x + y * z.real, y * z.imag]), turn

    def move(self, position, tangent):
        return self._end(position, tangent)[0]

    def transport(self, position, along, tangent):
        end, turn = self._end(position, along)
        c, s = jnp.cos(turn), jnp.sin(turn)
        scale = end[1] / position[1]
        return scale * jnp.stack([c * tangent[0] - s * tangent[1], s * tangent[0] + c * tangent[1]])


def on_the_cylinder(x):
    return jnp.sin(x[0]) + 0.5 * x[2] ** 2 + x[1] * x[2]


def unrolled(y):
    """The same function of the angle and the height: a cylinder is flat when it is cut open."""
    return on_the_cylinder(jnp.stack([jnp.cos(y[0]), jnp.sin(y[0]), y[1]]))


@pytest.mark.parametrize("scheme", [tw.Leapfrog(), tw.Lookahead(), tw.Euler()], ids=["leap", "ahead", "euler"])
def test_a_ball_on_a_cylinder_is_a_ball_on_the_plane_it_unrolls_to(scheme):
    start, push = jnp.array([0.6, 0.8, 0.3]), jnp.array([-0.8, 0.6, 0.5])
    curved = tw.Method(tw.HeavyBall(on_the_cylinder, 0.3, geometry=Cylinder()), scheme, 0.1)
    flat = tw.Method(tw.HeavyBall(unrolled, 0.3), scheme, 0.1)
    found = tw.run(curved, start, 60, velocity=push, record=None).final
    angle, height = tw.run(
        flat, jnp.array([np.arctan2(0.8, 0.6), 0.3]), 60, velocity=jnp.array([1.0, 0.5])
    ).final.position
    assert abs(float(angle)) > 1.0
    np.testing.assert_allclose(found.position, [np.cos(angle), np.sin(angle), height], rtol=0, atol=1e-13)


def test_stages_on_a_cylinder_have_their_order():
    start, push = jnp.array([0.6, 0.8, 0.3]), jnp.array([-0.8, 0.6, 0.5])
    flat = tw.Method(tw.HeavyBall(unrolled, 0.3), tw.Adaptive(rtol=1e-12, atol=1e-13, until=2.0), 0.1)
    angle, height = tw.run(
        flat, jnp.array([np.arctan2(0.8, 0.6), 0.3]), 1000, velocity=jnp.array([1.0, 0.5])
    ).final.position
    method = tw.Method(tw.HeavyBall(on_the_cylinder, 0.3, geometry=Cylinder()), tw.RK4(), 0.1)
    exact = jnp.stack([jnp.cos(angle), jnp.sin(angle), height])
    found = tw.analysis.convergence_order(method, start, 2.0, (32, 64), push, reference=exact)
    assert found.order == pytest.approx(4.0, abs=0.1)


def test_a_start_off_a_manifold_of_ones_own_is_refused():
    method = tw.Method(tw.HeavyBall(on_the_cylinder, 0.3, geometry=Cylinder()), tw.Leapfrog(), 0.1)
    with pytest.raises(tw.InputError, match=r"must lie on Cylinder, but its projection is 0\.4\d* of its length away"):
        tw.run(method, jnp.array([2.0, 0.0, 0.5]), 3)
    with pytest.raises(tw.InputError, match="must be tangent to Cylinder at the start, but 1 of it is not"):
        method.init(jnp.array([1.0, 0.0, 0.5]), jnp.array([1.0, 0.0, 0.0]))


PLANE = HalfPlane()


def climbing(x):
    """Half the squared hyperbolic distance to i, of which the gradient flow is known."""
    return 0.5 * jnp.arccosh(1.0 + (x[0] ** 2 + (x[1] - 1.0) ** 2) / (2.0 * x[1])) ** 2


def test_a_manifold_without_a_surrounding_space_is_followed():
    # Free motion on the vertical line is y = exp(t); on a half circle about the origin x = tanh t, y = 1/cosh t.
    free = tw.Method(tw.HeavyBall(lambda x: 0.0 * x[0], 0.0, geometry=PLANE), tw.Leapfrog(), 0.1)
    found = tw.run(free, jnp.array([0.0, 1.0]), 10, velocity=jnp.array([1.0, 0.0])).final
    np.testing.assert_allclose(found.position, [np.tanh(1.0), 1 / np.cosh(1.0)], rtol=0, atol=1e-14)
    speed = np.array([1 / np.cosh(1.0) ** 2, -np.sinh(1.0) / np.cosh(1.0) ** 2])
    np.testing.assert_allclose(found.velocity, speed, rtol=0, atol=1e-14)
    # The gradient flow of half the squared distance comes closer by exp(-t), along the geodesic.
    errors = []
    for steps in (50, 100):
        flow = tw.Method(tw.GradientFlow(climbing, geometry=PLANE), tw.Euler(), 1.0 / steps)
        end = tw.run(flow, jnp.array([np.tanh(1.0), 1 / np.cosh(1.0)]), steps, record=None).final.position
        left = np.exp(-1.0)
        errors.append(np.linalg.norm(end - np.array([np.tanh(left), 1 / np.cosh(left)])))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.1)
    # Euler's factor in distance is exactly (1 - h)^n.
    np.testing.assert_allclose(np.sqrt(2 * climbing(end)), 0.99**100, rtol=1e-12)


def test_a_ball_in_the_hyperbolic_plane_is_of_order_two():
    # By the Christoffel symbols: x'' = 2x'y'/y, y'' = (y'^2 - x'^2)/y, beside force and friction.
    from scipy.integrate import solve_ivp

    def f(x):
        return 0.5 * x[0] ** 2 + 0.2 * x[1] ** 2

    def field(_, s):
        x, y, u, v = s
        return [u, v, 2 * u * v / y - y**2 * x - 0.3 * u, (v * v - u * u) / y - y**2 * 0.4 * y - 0.3 * v]

    exact = solve_ivp(field, (0, 1.5), [0.3, 1.0, 0.7, 0.4], method="DOP853", rtol=1e-12, atol=1e-13).y[:2, -1]
    method = tw.Method(tw.HeavyBall(f, 0.3, geometry=PLANE), tw.Leapfrog(), 0.1)
    start, push = jnp.array([0.3, 1.0]), jnp.array([0.7, 0.4])
    found = tw.analysis.convergence_order(method, start, 1.5, (64, 128), push, reference=exact)
    assert found.order == pytest.approx(2.0, abs=0.05)
    # Its law gives the covariant derivative, which is none of the coordinates.
    with pytest.raises(tw.InputError, match="HeavyBall is known along HalfPlane and not in its coordinates"):
        tw.analysis.convergence_order(method, start, 1.5, (64, 128), push)


def test_stages_need_a_surrounding_space():
    with pytest.raises(
        tw.InputError, match=r"RungeKutta has stages, which need .* but HalfPlane has none; use tw\.Euler"
    ):
        tw.Method(tw.GradientFlow(climbing, geometry=PLANE), tw.RK4(), 0.1)
    with pytest.raises(tw.InputError, match="Adaptive has stages, which need"):
        tw.Method(tw.GradientFlow(climbing, geometry=PLANE), tw.Adaptive(), 0.1)
    with pytest.raises(tw.InputError, match="the half plane is y > 0"):
        tw.run(tw.Method(tw.GradientFlow(climbing, geometry=PLANE), tw.Euler(), 0.1), jnp.array([0.0, -1.0]), 1)


class Preconditioner(AbstractMetric):
    """A constant metric, the inverse of a matrix."""

    inverse: jax.Array

    def velocity(self, position, covector):
        return self.inverse @ covector

    def inner(self, position, u, v):
        return u @ jnp.linalg.solve(self.inverse, v)


class Entropic(AbstractMetric):
    """The metric of mirror descent with the entropy, by the names of the leaves: w > 0 entropic, b flat."""

    def velocity(self, position, covector):
        return {"w": position["w"] * covector["w"], "b": covector["b"]}

    def inner(self, position, u, v):
        return jnp.sum(u["w"] * v["w"] / position["w"]) + jnp.sum(u["b"] * v["b"])


HESSIAN = jnp.array([[3.0, 0.5], [0.5, 0.4]])
INVERSE = jnp.array([[0.3, -0.1], [-0.1, 2.0]])
EXPLICIT = {
    "euler": (tw.Euler(), 1),
    "heun": (tw.Heun(), 2),
    "rk4": (tw.RK4(), 4),
    "rkc": (tw.RungeKuttaChebyshev(2, 4), 2),
    "rkl": (tw.RungeKuttaLegendre(1, 4), 1),
}


@pytest.mark.parametrize("name", EXPLICIT)
def test_a_preconditioner_makes_its_own_flow_by_every_explicit_scheme(name):
    scheme, order = EXPLICIT[name]
    law = tw.GradientFlow(lambda x: 0.5 * x @ HESSIAN @ x, rate=1.3, geometry=Preconditioner(INVERSE))
    start = jnp.array([1.0, -2.0])
    exact = scipy.linalg.expm(-1.3 * np.asarray(INVERSE @ HESSIAN)) @ start
    found = tw.analysis.convergence_order(tw.Method(law, scheme, 0.1), start, 1.0, (64, 128), reference=exact)
    assert found.order == pytest.approx(order, abs=0.1)


def test_a_metric_that_depends_on_the_position_sees_the_tree():
    cost = jnp.array([1.0, -0.5, 0.25])
    law = tw.GradientFlow(lambda x: cost @ x["w"] + 0.5 * jnp.sum(x["b"] ** 2), geometry=Entropic())
    start = {"w": jnp.array([0.2, 0.3, 0.5]), "b": jnp.array([1.0, 2.0])}
    method = tw.Method(law, tw.Adaptive(rtol=1e-10, atol=1e-12, until=1.0), 0.1)
    end = tw.run(method, start, 1000, record=None).final.position
    np.testing.assert_allclose(end["w"], start["w"] * jnp.exp(-cost), rtol=1e-9)
    np.testing.assert_allclose(end["b"], start["b"] * np.exp(-1.0), rtol=1e-9)


def test_a_metric_sees_the_name_of_a_single_leaf_in_a_run():
    class Named(AbstractMetric):
        def velocity(self, position, covector):
            return {"w": position["w"] * covector["w"]}

        def inner(self, position, u, v):
            return jnp.sum(u["w"] * v["w"] / position["w"])

    method = tw.Method(tw.GradientFlow(lambda x: jnp.sum(x["w"]), geometry=Named()), tw.Euler(), 0.1)
    run = tw.run(method, {"w": jnp.ones(3)}, 5, record=None)
    np.testing.assert_allclose(run.final.position["w"], 0.9**5, rtol=1e-14)
    assert run.gradients == 5


def raising(position, covector):
    raise KeyError("w")


@pytest.mark.parametrize(
    ("velocity", "message"),
    [
        (lambda x, p: {"w": p}, r"Wrong\.velocity must give a tree as it is given, \(\*\), but gives \({'w': \*}\)"),
        (lambda x, p: p[:1], r"Wrong\.velocity must give shapes as it is given, \(2,\), but gives \(1,\)"),
        (lambda x, p: jnp.sum(p), r"Wrong\.velocity must give shapes as it is given, \(2,\), but gives \(\)"),
        (lambda x, p: 1j * p, r"Wrong\.velocity must give floating-point numbers, but gives complex128"),
        (raising, r"Wrong\.velocity raised KeyError at arrays of \(2,\): 'w'"),
    ],
)
def test_a_wrong_metric_is_one_line_before_anything_is_traced(velocity, message):
    class Wrong(AbstractMetric):
        def velocity(self, position, covector):
            return velocity(position, covector)

        def inner(self, position, u, v):
            return jnp.zeros(())

    method = tw.Method(tw.GradientFlow(lambda x: jnp.sum(x**2), geometry=Wrong()), tw.RK4(), 0.1)
    for start in (lambda: tw.run(method, jnp.ones(2), 3), lambda: method.init(jnp.ones(2))):
        with pytest.raises(tw.InputError, match=message) as caught:
            start()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "found", "message"),
    [
        ("move", lambda x, *_: x[:2], r"Wrong\.move must give shapes as it is given, \(3,\), but gives \(2,\)"),
        ("transport", lambda x, *_: (x,), r"Wrong\.transport must give a tree as it is given, \(\*\), but gives"),
        ("bend", lambda x, *_: x["a"], r"Wrong\.bend raised TypeError at arrays of \(3,\): "),
        ("tangent", lambda x, *_: x.astype(jnp.float32), r"Wrong\.tangent must give float64, but gives float32"),
        ("project", lambda x: x[5:] @ x, r"Wrong\.check raised TypeError at arrays of \(3,\): "),
    ],
)
def test_a_wrong_manifold_is_one_line_before_anything_is_traced(name, found, message):
    wrong = type("Wrong", (Cylinder,), {name: lambda self, *arguments: found(*arguments)})()
    method = tw.Method(tw.HeavyBall(on_the_cylinder, 0.3, geometry=wrong), tw.Leapfrog(), 0.1)
    with pytest.raises(tw.InputError, match=message) as caught:
        tw.run(method, jnp.array([0.6, 0.8, 0.3]), 3)
    assert "\n" not in str(caught.value)


def test_a_metric_is_no_manifold_for_a_ball():
    with pytest.raises(tw.InputError, match="Preconditioner is a metric alone, whose Christoffel terms are not known"):
        tw.HeavyBall(None, 1.0, geometry=Preconditioner(INVERSE))


def test_another_metric_compiles_nothing_anew():
    traced = []

    def f(x):
        traced.append(x)
        return 0.5 * x @ HESSIAN @ x

    objective = tw.Objective(f)
    for scale in (1.0, 2.0):
        law = tw.GradientFlow(objective, geometry=Preconditioner(scale * INVERSE))
        tw.run(tw.Method(law, tw.Euler(), 0.1), jnp.ones(2), 4, record=None)
        count = len(traced) if scale == 1.0 else count
    assert len(traced) == count
