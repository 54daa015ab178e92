"""Surfaces on a page: the maps are inverse, steps are where they were recorded, and lines are the law's geodesics."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.geometry import Hyperboloid, PoincareBall, Sphere
from thalweg.plot._chart import chart_of

SPHERE, BALL = Sphere(), PoincareBall()
GOAL = jnp.array([0.2, -0.5])


def on(geometry):
    return tw.Method(tw.GradientFlow(None, geometry=geometry), tw.Euler(), 0.1)


def of(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


@pytest.mark.parametrize(
    ("geometry", "start"),
    [(SPHERE, [0.6, 0.0, 0.8]), (Hyperboloid(), [np.sqrt(1.5), 0.5, -0.5]), (BALL, [0.5, -0.4])],
    ids=["sphere", "hyperboloid", "ball"],
)
def test_a_point_of_the_page_is_one_of_the_surface(geometry, start):
    chart = chart_of([on(geometry)], jnp.asarray(start), [np.asarray([start])])
    assert chart is not None
    np.testing.assert_allclose(chart.lift(chart.project(np.asarray([start]))), [start], atol=1e-14)
    points = chart.lift(np.array([[0.3, 0.7], [-0.9, 0.1], [0.9, 0.9]]))
    assert np.isnan(points[-1]).all()
    np.testing.assert_allclose(geometry.project(jnp.asarray(points[:2])), points[:2], atol=1e-12)
    np.testing.assert_allclose(chart.project(points[:2]), [[0.3, 0.7], [-0.9, 0.1]], atol=1e-14)


def test_a_disc_shows_the_hyperboloid_as_the_ball():
    """The hyperbolic plane in two models: as long a way between two points, and the same points between them."""
    geometry = Hyperboloid()
    points = np.array([[np.sqrt(1.5), 0.5, -0.5], [np.sqrt(3.0), 1.0, 1.0]])
    chart = chart_of([on(geometry)], jnp.asarray(points[0]), [points])
    shown = jnp.asarray(chart.project(points))
    np.testing.assert_allclose(
        BALL.squared_distance(*shown), geometry.squared_distance(*jnp.asarray(points)), rtol=1e-12
    )
    middle = chart.project(chart.along(points))[5]
    np.testing.assert_allclose(
        BALL.squared_distance(shown[0], jnp.asarray(middle)) ** 0.5 * 9, BALL.squared_distance(*shown) ** 0.5 * 5
    )


def test_others_have_no_chart():
    assert chart_of([on(SPHERE)], jnp.ones(4), []) is None
    assert chart_of([on(SPHERE), on(BALL)], jnp.ones(3), []) is None
    assert chart_of([on(SPHERE)], {"a": jnp.ones(3), "b": jnp.ones(3)}, []) is None
    assert chart_of([tw.gradient_descent(None, 0.1)], jnp.ones(3), []) is None


def test_paths_on_a_globe():
    f = tw.Objective(lambda x: x[0], minimum=-1.0, minimiser=jnp.array([-1.0, 0.0, 0.0]))
    start = SPHERE.project(jnp.array([1.0, 0.3, 0.1]))
    methods = {
        "descent": tw.Method(tw.GradientFlow(f, geometry=SPHERE), tw.Euler(), 0.4),
        "ball": tw.Method(tw.HeavyBall(f, 0.5, geometry=SPHERE), tw.Leapfrog(), 0.4),
    }
    found = tw.compare(methods, start, max_steps=12, limits=False, record=1)
    ax = tw.plot.paths(found, points=21)
    assert "sphere, seen from" in ax.get_xlabel() and ax.get_aspect() == 1.0
    assert [len(of(ax, gid)) for gid in ("law", "path", "steps")] == [2, 2, 2]
    # A start and a minimum on opposite sides: the one or the other is behind.
    assert of(ax, "hidden")
    chart = chart_of(methods.values(), start, [np.asarray(run.trace.position) for run in found.runs.values()])
    for line, run in zip(of(ax, "path"), found.runs.values(), strict=True):
        positions = np.asarray(run.trace.position)
        shown = np.stack(line.get_data(), axis=1)[::9]
        seen = ~chart.hidden(positions)
        np.testing.assert_allclose(shown[seen], chart.project(positions)[seen], atol=1e-12)
    # Gradient flow of a linear function goes along a meridian, tan(angle/2) growing as e^t.
    angle = np.arccos(float(start[0]))
    there = 2.0 * np.arctan(np.tan(angle / 2.0) * np.exp(0.4 * found.runs["descent"].steps))
    side = np.asarray(start) - float(start[0]) * np.eye(3)[0]
    end = np.cos(there) * np.eye(3)[0] + np.sin(there) * side / np.linalg.norm(side)
    color = of(ax, "law")[0].get_color()
    broad = [line for line in ax.lines if line.get_linewidth() == 5.0 and line.get_color() == color]
    ends = np.stack([np.stack(line.get_data(), axis=1)[-1] for line in broad])
    np.testing.assert_allclose(ends[np.isfinite(ends).all(axis=1)], chart.project(end[None]), atol=1e-5)


@pytest.mark.slow
def test_paths_in_the_disc_and_off_the_page():
    """In the disc; and of a sphere of four numbers in a plane, with contours of the nearest points of it."""
    f = tw.Objective(lambda x: 0.5 * BALL.squared_distance(x, GOAL), minimum=0.0, minimiser=GOAL)
    method = {"descent": tw.Method(tw.GradientFlow(f, geometry=BALL), tw.Euler(), 0.3)}
    ax = tw.plot.paths(tw.compare(method, jnp.array([-0.3, 0.8]), max_steps=8, limits=False, record=1), points=21)
    assert "Poincaré" in ax.get_xlabel()
    g = tw.Objective(lambda x: jnp.where(jnp.abs(x @ x - 1) < 1e-9, x[0], jnp.nan))
    method = {"descent": tw.Method(tw.GradientFlow(g, geometry=SPHERE), tw.Euler(), 0.3)}
    ax = tw.plot.paths(
        tw.compare(method, jnp.array([0.6, 0.8, 0.0, 0.0]), max_steps=8, limits=False, record=1), points=21
    )
    assert ax.collections and "principal" in ax.get_xlabel()
