"""Draw the pictures beside the articles: `python docs/images/make_articles.py`.

Writes article_000.png, article_003.png and article_004.png.
"""

import os
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import thalweg as tw

HERE = Path(__file__).parent
CANYON = np.array([1.0, 100.0])


def axes() -> tuple:
    """Two axes side by side."""
    figure = Figure(figsize=(11, 4.2), layout="constrained", dpi=110)
    both = figure.subplots(1, 2)
    for ax in both:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, *both


def descent() -> None:
    """Descent on f = x² beside its flow, from below, at and beyond its limit."""
    figure, left, right = axes()
    f = tw.Objective(lambda x: jnp.sum(x**2))
    times = np.linspace(0.0, 3.0, 300)
    left.plot(times, np.exp(-2.0 * times), color="0.3", label="flow")
    right.semilogy(times, np.exp(-4.0 * times), color="0.3", label="flow")
    for colour, rate in (("C0", 0.1), ("C1", 0.6), ("C3", 1.05)):
        steps = round(3.0 / rate) + 1
        run = tw.run(tw.gradient_descent(f, rate), jnp.array([1.0]), steps, record=1)
        at = rate * np.arange(steps + 1)
        left.plot(at, run.trace.position[:, 0], ".-", color=colour, label=f"learning rate {rate}")
        right.semilogy(at, run.metrics["loss"], ".-", color=colour, label=f"learning rate {rate}")
    left.set(xlabel="time", ylabel="x", xlim=(0.0, 3.2))
    right.set(xlabel="time", ylabel="f", xlim=(0.0, 3.2), ylim=(1e-6, 3.0))
    left.legend(edgecolor="none", loc="lower left")
    figure.savefig(HERE / "article_000.png")


def canyon() -> None:
    """Paths at a learning rate of 1/L, and the largest eigenvalue of a step by learning rate times curvature."""
    figure, left, right = axes()
    f = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.asarray(CANYON) * x**2))
    x, y = np.meshgrid(np.linspace(-1.1, 0.4, 200), np.linspace(-0.35, 0.35, 200))
    left.contour(x, y, 0.5 * (CANYON[0] * x**2 + CANYON[1] * y**2), levels=12, colors="0.8", linewidths=0.8)
    methods = {
        "descent, 1.9/L": tw.gradient_descent(f, 0.019),
        "momentum 0.8": tw.momentum(f, 0.01, 0.8),
        "Nesterov 0.8": tw.nesterov(f, 0.01, 0.8),
    }
    for colour, (name, method) in zip(("C3", "C1", "C0"), methods.items(), strict=True):
        path = tw.run(method, jnp.array([-1.0, 0.3]), 60, record=1).trace.position
        left.plot(*np.asarray(path).T, ".-", color=colour, label=name, linewidth=1, markersize=3)
    left.set(xlabel="curvature 1", ylabel="curvature 100", ylim=(-0.35, 0.35))
    left.legend(edgecolor="none", loc="lower left")
    products = np.linspace(0.0, 2.0, 400)[1:]
    for colour, name, make in (("C1", "momentum", tw.momentum), ("C0", "Nesterov", tw.nesterov)):
        radii = tw.analysis.spectral_radius(make(None, 1.0, 0.9), products)
        right.plot(products, radii, color=colour, label=f"{name}, β = 0.9")
    right.axhline(1.0, color="0.8", linewidth=1)
    right.set(xlabel="learning rate × curvature", ylabel="part of a mode left by a step", ylim=(0.0, 1.3))
    right.legend(edgecolor="none")
    figure.savefig(HERE / "article_003.png")


def ball() -> None:
    """The energy with and without friction, and two starts before a barrier."""
    figure, left, right = axes()
    bowl = tw.Objective(lambda x: 0.5 * jnp.sum(x**2))
    for colour, friction in (("C3", 0.0), ("C1", 0.1), ("C0", 0.5)):
        method = tw.Method(tw.HeavyBall(bowl, friction=friction), tw.Leapfrog(), 0.1)
        run = tw.run(method, jnp.array([1.0]), 400, record=1)
        left.plot(0.1 * np.arange(401), run.trace.position[:, 0], color=colour, label=f"friction {friction:g}")
    left.set(xlabel="time", ylabel="position in a bowl")
    left.legend(edgecolor="none")
    wells = tw.Objective(lambda x: jnp.sum(0.25 * (x**2 - 1.0) ** 2))
    for colour, start in (("C0", -1.42), ("C1", -1.5)):
        method = tw.Method(tw.HeavyBall(wells, friction=0.1), tw.Leapfrog(), 0.1)
        run = tw.run(method, jnp.array([start]), 400, record=1)
        right.plot(0.1 * np.arange(401), run.trace.position[:, 0], color=colour, label=f"ball from {start:g}")
    run = tw.run(tw.gradient_descent(wells, 0.1), jnp.array([-1.5]), 400, record=1)
    right.plot(0.1 * np.arange(401), run.trace.position[:, 0], "--", color="0.4", label="descent from -1.5")
    right.axhline(0.0, color="0.85", linewidth=1)
    right.set(xlabel="time", ylabel="position between two wells")
    right.legend(edgecolor="none")
    figure.savefig(HERE / "article_004.png")


def main() -> None:
    """All three."""
    descent()
    canyon()
    ball()


if __name__ == "__main__":
    main()
