"""Paths: the discrete ones are the recorded ones, the continuous ones are the law's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import thalweg as tw
from thalweg.plot._plane import Plane, fit_plane, loss_on
from thalweg.plot._trajectory import follow, laws


def _lines(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


def _exact(method, x0, duration):
    """The law of a method by DOP853: positions as a function of time."""
    slope = jax.jit(lambda x: method.objective.gradient(x))
    friction = float(method.dynamics.friction) if hasattr(method.dynamics, "friction") else None

    def field(t, y):
        del t
        if friction is None:
            return -np.asarray(slope(y))
        x, v = np.split(y, 2)
        return np.concatenate([v, -friction * v - np.asarray(slope(x))])

    y0 = np.asarray(x0) if friction is None else np.concatenate([x0, np.zeros(len(x0))])
    solution = solve_ivp(field, (0.0, duration), y0, method="DOP853", rtol=1e-8, atol=1e-10, dense_output=True)
    return lambda t: solution.sol(t)[: len(x0)]


@pytest.fixture(scope="module")
def picture(four):
    return tw.plot.paths(four, points=41)


def test_the_steps_are_the_recorded_positions(four, picture):
    drawn = _lines(picture, "path")
    assert len(drawn) == len(four.runs)
    for line, run in zip(drawn, four.runs.values(), strict=True):
        np.testing.assert_array_equal(np.stack(line.get_data(), axis=1), np.asarray(run.trace.position))
    assert (picture.get_xlabel(), picture.get_ylabel()) == ("parameter θ₁", "parameter θ₂")
    assert picture.get_aspect() == 1.0


def test_methods_of_one_law_share_its_line(four, picture):
    found = laws(four)
    assert [law.methods for law in found] == [("gradient descent", "rk4"), ("momentum", "nesterov")]
    assert len(_lines(picture, "law")) == 2
    labels = [text.get_text() for text in picture.get_legend().get_texts()]
    assert labels[:4] == list(four.runs) and labels[4] == "gradient flow (continuous)"
    assert labels[5] == f"heavy ball, friction {found[1].dynamics.friction:.3g} (continuous)"


def test_the_continuous_lines_end_where_dop853_does(four, picture):
    for law, line in zip(laws(four), _lines(picture, "law"), strict=True):
        x0 = np.array([1.0, 0.7])
        exact = _exact(four.methods[law.methods[0]], x0, law.duration)
        end = np.array([line.get_xdata()[-1], line.get_ydata()[-1]])
        assert np.abs(end - exact(law.duration)).max() < 1e-3
        np.testing.assert_array_equal([line.get_xdata()[0], line.get_ydata()[0]], x0)


@pytest.mark.parametrize("name", ["gradient descent", "momentum"])
def test_they_follow_the_law_all_the_way(four, name):
    law = next(law for law in laws(four) if name in law.methods)
    assert law.duration == max(four.runs[m].trace.time[-1] for m in law.methods)
    times, points = follow(law, jnp.array([1.0, 0.7]), Plane(np.zeros(2), np.eye(2), None), 1.2)
    exact = _exact(four.methods[name], np.array([1.0, 0.7]), law.duration)
    assert np.all(np.diff(times) > 0) and len(times) == len(points)
    assert np.abs(points - exact(times).T).max() < 1e-3 * 1.2


def test_a_short_run_is_followed_to_its_last_moment(valley):
    methods = {"m": tw.momentum(valley, 0.01, 0.9)}
    result = tw.compare(methods, jnp.array([1.0, 0.7]), 1e-9, 13, limits=False, record=1, progress=False)
    (law,) = laws(result)
    times, points = follow(law, jnp.array([1.0, 0.7]), Plane(np.zeros(2), np.eye(2), None), 1.2)
    assert times[-1] == pytest.approx(13 * float(methods["m"].step_size), rel=1e-12)
    assert np.abs(points[-1] - _exact(methods["m"], np.array([1.0, 0.7]), times[-1])(times[-1])).max() < 1e-6


@pytest.mark.slow
def test_a_law_that_grows_steeper_on_its_way_is_resolved():
    # From the flat end of a quartic: the curvature grows a hundredfold before it falls.
    f = tw.Objective(lambda x: x[0] ** 2 / 2 + (x[1] - 1) ** 2 * (1 + 30 * jnp.exp(-8 * x[0] ** 2)) / 2, minimum=0.0,
                     minimiser=jnp.array([0.0, 1.0]))  # fmt: skip
    methods = {"ball": tw.Method(tw.HeavyBall(f, 0.5), tw.Leapfrog(), 0.05)}
    x0 = jnp.array([2.5, 0.0])
    result = tw.compare(methods, x0, 1e-9, 120, limits=False, record=1, progress=False)
    times, points = follow(laws(result)[0], x0, Plane(np.zeros(2), np.eye(2), None), 2.7)
    exact = _exact(methods["ball"], np.asarray(x0), times[-1])
    assert np.abs(points - exact(times).T).max() < 3e-3 * 2.7


def test_nesterovs_equation_from_time_zero(valley):
    methods = {"flow": tw.Method(tw.NesterovFlow(valley), tw.Leapfrog(), 0.1)}
    x0 = np.array([1.0, 0.7])
    result = tw.compare(methods, jnp.asarray(x0), 1e-9, 40, limits=False, record=1, progress=False)
    (law,) = laws(result)
    times, points = follow(law, jnp.asarray(x0), Plane(np.zeros(2), np.eye(2), None), 1.2)

    slope = jax.jit(lambda x: valley.gradient(x))

    def field(t, y):
        x, v = np.split(y, 2)
        return np.concatenate([v, -3 / t * v - np.asarray(slope(x))])

    t0, g = 1e-3, np.asarray(slope(x0))
    y0 = np.concatenate([x0 - g * t0**2 / 8, -g * t0 / 4])  # the series at t = 0
    assert times[-1] == pytest.approx(3.9) == law.duration  # one of the 40 gradients is the start's
    solution = solve_ivp(field, (t0, 3.9), y0, method="DOP853", rtol=1e-8, atol=1e-10)
    assert np.abs(points[-1] - solution.y[:2, -1]).max() < 1e-3


@pytest.fixture(scope="module")
def deep():
    """Five parameters in a tree."""
    weights = jnp.arange(1.0, 5.0)

    def f(x):
        return 0.5 * jnp.sum(weights * x["w"].ravel() ** 2) + 0.5 * (x["b"] + 0.3 * x["w"][0, 1]) ** 2

    x0 = {"w": jnp.array([[1.0, -1.0], [0.5, 0.8]]), "b": jnp.array(0.4)}
    objective = tw.Objective(f, minimum=0.0, minimiser={"w": jnp.zeros((2, 2)), "b": jnp.array(0.0)})
    methods = {"gd": tw.gradient_descent(objective, 0.1), "momentum": tw.momentum(objective, 0.1, 0.8)}
    return tw.compare(methods, x0, 1e-6, 60, limits=False, record=1, progress=False)


def _rows(run):
    return np.concatenate([np.asarray(run.trace.position[k]).reshape(len(run.trace), -1) for k in ("b", "w")], axis=1)


def test_in_more_dimensions_the_paths_are_projected(deep):
    ax = tw.plot.paths(deep, points=15)
    for line, run in zip(_lines(ax, "path"), deep.runs.values(), strict=True):
        full, drawn = _rows(run), np.stack(line.get_data(), axis=1)
        # A projection through the minimum (the origin here): never longer, and linear.
        assert np.all(np.linalg.norm(drawn, axis=1) <= np.linalg.norm(full, axis=1) * (1 + 1e-12))
        axes, *_ = np.linalg.lstsq(full, drawn, rcond=None)
        np.testing.assert_allclose(full @ axes, drawn, atol=1e-12)
    start = next(line for line in ax.lines if line.get_gid() == "start")
    assert start.get_xdata()[0] > 0
    assert "% of the motion" in ax.get_xlabel()


def test_the_plane_is_that_of_the_motion(rng):
    axes = np.linalg.qr(rng.normal(size=(7, 2)))[0].T
    cloud = rng.normal(size=(40, 2)) * [5.0, 1.0] @ axes + 3.0
    plane = fit_plane(np.full(7, 3.0), cloud[0], [cloud])
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane.project(cloud) @ plane.axes + 3.0, cloud, atol=1e-12)
    assert plane.shares is not None and sum(plane.shares) == pytest.approx(1.0)
    # More parameters than points, and a motion along a line.
    line = np.linspace(0.0, 1.0, 9)[:, None] * np.arange(1.0, 51.0)
    flat = fit_plane(np.zeros(50), line[-1], [line])
    np.testing.assert_allclose(flat.axes @ flat.axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(flat.project(line)[:, 1], 0.0, atol=1e-9)


def test_the_contours_are_those_of_the_loss_on_the_plane(deep):
    from thalweg._tree import unraveler

    objective = deep.methods["gd"].objective
    x0 = {"w": jnp.zeros((2, 2)), "b": jnp.array(0.0)}
    plane = Plane(np.arange(5.0), np.eye(5)[[3, 0]], (0.5, 0.5))
    x, y = np.array([0.0, 1.0, 2.0]), np.array([-1.0, 4.0])
    values = loss_on(objective, unraveler(x0), plane, x, y, np.dtype(float))
    assert values.shape == (2, 3)
    for j, b in enumerate(y):
        for i, a in enumerate(x):
            point = np.arange(5.0) + a * np.eye(5)[3] + b * np.eye(5)[0]
            value = objective.value({"b": jnp.asarray(point[0]), "w": jnp.asarray(point[1:].reshape(2, 2))})
            assert values[j, i] == pytest.approx(float(value), rel=1e-12)


@pytest.mark.parametrize("how", [{}, {"replace": False}, {"replace": False, "epochs": True}])
def test_paths_of_mini_batches_lie_over_the_whole_function(how):
    f = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.arange(8.0).reshape(4, 2), batch_size=2, **how)
    result = tw.compare({"sgd": tw.gradient_descent(f, 0.1)}, jnp.ones(2), 1e-3, 20, limits=False, record=1)
    ax = tw.plot.paths(result, points=5)
    assert len(_lines(ax, "path")) == len(_lines(ax, "law")) == 1


def test_a_diverging_path_does_not_set_the_view(valley):
    methods = {"ok": tw.gradient_descent(valley, 0.05), "wild": tw.gradient_descent(valley, 0.3)}
    result = tw.compare(methods, jnp.array([1.0, 0.7]), 1e-6, 60, limits=False, record=1, progress=False)
    assert result.runs["wild"].status == "diverged"
    ax = tw.plot.paths(result, points=11)
    assert max(map(abs, (*ax.get_xlim(), *ax.get_ylim()))) < 4.0
    assert "wild (diverged)" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_what_is_missing_is_said(valley, four, mixed):
    with pytest.raises(tw.InputError, match=r"tw\.compare\(\.\.\., record=1\)"):
        tw.plot.paths(mixed)
    gd = {"gd": tw.gradient_descent(valley, 0.05)}
    with pytest.raises(tw.InputError, match="did not keep its position at every step"):
        tw.plot.paths(tw.compare(gd, jnp.array([1.0, 0.7]), 1e-6, 9, limits=False, record=2, progress=False))
    f = tw.Objective(lambda x: jnp.sum(x**2), minimum=0.0, minimiser=jnp.zeros(1))
    one = tw.compare({"gd": tw.gradient_descent(f, 0.05)}, jnp.ones(1), 1e-6, 9, limits=False, record=1, progress=False)
    with pytest.raises(tw.InputError, match="at least two parameters"):
        tw.plot.paths(one)
    with pytest.raises(tw.InputError, match="points"):
        tw.plot.paths(four, points=1)
