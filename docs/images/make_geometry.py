"""Draw the pictures of geometries: `python docs/images/make_geometry.py`."""

import os
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import jax.numpy as jnp
from matplotlib.figure import Figure

import thalweg as tw

HERE = Path(__file__).parent
MATRIX = jnp.array([[2.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 5.0]])
PLACES = jnp.array([[0.5, -0.6], [0.7, 0.5]])


def paths(ax, value, geometry, start, steps):
    objective = tw.Objective(value)
    methods = {
        "gradient descent": tw.Method(tw.GradientFlow(objective, geometry=geometry), tw.Euler(), steps[0]),
        "momentum": tw.Method(tw.HeavyBall(objective, 0.5, geometry=geometry), tw.Leapfrog(), steps[1]),
    }
    found = tw.compare(methods, start, max_steps=40, limits=False, record=1)
    tw.plot.paths(found, ax)


def main() -> None:
    figure = Figure(figsize=(16.5, 5.6), layout="constrained", dpi=90)
    sphere, disc, balls = figure.subplots(1, 3)
    globe, ball = tw.geometry.Sphere(), tw.geometry.PoincareBall()
    paths(sphere, lambda x: 0.5 * x @ MATRIX @ x, globe, globe.project(jnp.array([0.2, 0.9, 1.0])), (0.1, 0.3))

    def distances(x):
        return 0.5 * sum(ball.squared_distance(x, place) for place in PLACES)

    paths(disc, distances, ball, jnp.array([-0.3, 0.8]), (0.3, 0.4))
    norms = {f"Norm({kind!r})": tw.geometry.Norm(kind) for kind in ("l2", "linf", "l1")}
    metric = tw.geometry.Metric(jnp.array([[1.0, 0.6], [0.6, 1.5]]))
    tw.plot.unit_balls(norms | {"a metric": metric}, slope=(2.0, 1.0), ax=balls)
    figure.savefig(HERE / "geometry.png")


if __name__ == "__main__":
    main()
