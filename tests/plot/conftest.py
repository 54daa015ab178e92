"""Comparisons that several tests draw; made once."""

import dataclasses

import jax.numpy as jnp
import pytest

import thalweg as tw

CURVATURES = jnp.array([1.0, 20.0])


@pytest.fixture(scope="session")
def valley():
    """A quadratic in the plane with everything known, not symmetric about any axis of the picture."""

    def f(x):
        turned = jnp.array([x[0] + 0.5 * x[1], x[1] - 0.5 * x[0]]) / jnp.sqrt(1.25)
        return 0.5 * jnp.sum(CURVATURES * turned**2)

    return tw.Objective(f, minimum=0.0, minimiser=jnp.zeros(2), smoothness=20.0, strong_convexity=1.0)


@pytest.fixture(scope="session")
def four(valley):
    """Four methods, two laws that two of them share, positions at every step."""
    methods = {
        "gradient descent": tw.gradient_descent(valley, 0.05),
        "rk4": tw.Method(tw.GradientFlow(valley), tw.RK4(), 0.05),
        "momentum": tw.momentum(valley, 0.04, 0.7),
        "nesterov": tw.nesterov(valley, 0.04, 0.7),
    }
    start = jnp.array([1.0, 0.7])
    result = tw.compare(methods, start, 1e-6, 160, limits=False, record=1, progress=False)
    # Found by running takes seconds, and is tested elsewhere.
    found = (1.001, 0.9995, 1.0, 1.0 + 3e-6)
    entries = [
        dataclasses.replace(e, measured_limit=factor * e.predicted_limit)
        for e, factor in zip(result.entries, found, strict=True)
    ]
    return dataclasses.replace(result, entries=tuple(entries))


@pytest.fixture(scope="session")
def mixed(valley):
    """A method that converges and one that diverges, positions not kept."""
    methods = {"converges": tw.gradient_descent(valley, 0.05), "diverges": tw.gradient_descent(valley, 0.2)}
    return tw.compare(methods, jnp.array([1.0, 0.7]), 1e-6, 2000, limits=False, progress=False)
