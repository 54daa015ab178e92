"""Fit a curve three ways, and see what each method's own step says about it.

Run it with `python examples/your_objective.py`.
"""

import jax.numpy as jnp

import thalweg as tw

times = jnp.linspace(0.0, 4.0, 50)
decay = 2.0 * jnp.exp(-0.7 * times) + 0.3


def misfit(parameters: dict, data: tuple) -> jnp.ndarray:
    t, y = data
    model = parameters["size"] * jnp.exp(-parameters["rate"] * t) + parameters["offset"]
    return jnp.mean((model - y) ** 2)


def main() -> tw.Comparison:
    f = tw.Objective(misfit, (times, decay), minimum=0.0)
    start = {"size": jnp.array(1.0), "rate": jnp.array(1.0), "offset": jnp.array(0.0)}

    # The stability limit of every method follows from the curvature and its step: take half of it.
    curvature = tw.analysis.largest_curvature(f, start)
    momentum = 0.6
    limit = tw.analysis.largest_stable_learning_rate(tw.momentum(None, 1.0, momentum), curvature)
    methods = {
        "gradient descent": tw.gradient_descent(f, 1.0 / curvature),
        "momentum": tw.momentum(f, 0.5 * limit, momentum),
        # No framework has this one: Nesterov's ODE by the classical Runge-Kutta method.
        "Nesterov's ODE by RK4": tw.Method(tw.NesterovFlow(f), tw.RK4(), 1.4 / curvature**0.5),
    }
    return tw.compare(methods, start, tolerance=1e-6, max_steps=4000)


if __name__ == "__main__":
    print(main())
