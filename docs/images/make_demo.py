"""Draw README's picture: `python docs/images/make_demo.py`."""

import os
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

from matplotlib.figure import Figure

import thalweg as tw


def main() -> None:
    problem = tw.problems.get("digits").solved()
    f, x0 = problem.objective, problem.start
    curvature = tw.analysis.largest_curvature(f, x0)
    methods = {
        "gradient descent": tw.gradient_descent(f, 1.0 / curvature),
        "Runge-Kutta 4": tw.Method(tw.GradientFlow(f), tw.RK4(), 1.4 / curvature),
        "momentum": tw.momentum(f, 1.9 / curvature, 0.9),
        "Nesterov": tw.nesterov(f, 0.68 / curvature, 0.9),
    }
    result = tw.compare(methods, x0, tolerance=1e-3, max_steps=600, record=1)
    figure = Figure(figsize=(15, 4.6), layout="constrained", dpi=110)
    left, middle, right = figure.subplots(1, 3)
    tw.plot.curves(result, ax=left)
    tw.plot.paths(result, ax=middle)
    tw.plot.stability_map([f.strong_convexity, result.curvature], ax=right, points=result)
    figure.savefig(Path(__file__).parent / "demo.png")


if __name__ == "__main__":
    main()
