"""Full-batch Adam on handwritten digits, and the limit about which it hovers: `python examples/adam_edge.py`.

The curvature that counts is that of the loss over the root of Adam's average of squares. It rises until a step goes too
far, in the one direction of the largest; the squares of the gradient grow there, and bring it down again. So it stays
at the limit that the linear probe computes from Adam's own step, 2(1 + beta1)/(1 - beta1) over the learning rate.
"""

import os

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp

import thalweg as tw

EPSILON = 1e-7
# Learning rate and beta1.
SETTINGS = {"beta1 = 0.9": (0.01, 0.9), "beta1 = 0.5": (0.003, 0.5)}


def preconditioned_curvature(state, scaled):
    """The largest curvature of the loss in the parameters over the root of what divides Adam's step."""
    squares, filled = state.auxiliary["square"], state.auxiliary["filled"][1]
    scale = jax.tree.map(lambda v: (jnp.sqrt(v / filled) + EPSILON) ** -0.5, squares)
    place = jax.tree.map(lambda x, s: x / s, state.position, scale)
    # One function, whose scale is an argument: another lambda each time would be compiled each time.
    return tw.analysis.largest_curvature(tw.Objective(scaled, args=scale), place, iterations=100, tolerance=1e-3)


def main(steps=2000, every=20):
    """Preconditioned curvatures over their limit, and losses, by setting; at every so many steps."""
    problem = tw.problems.network_digits(hidden=16)
    loss = jax.jit(lambda x: problem.objective.value(x))

    def scaled(y, scale):
        return problem.objective.value(jax.tree.map(jnp.multiply, y, scale))

    found = {}
    for name, (rate, beta1) in SETTINGS.items():
        method = tw.adam(problem.objective, rate, beta1, beta2=0.99, epsilon=EPSILON)
        limit = tw.analysis.largest_stable_learning_rate(method, 1.0) / rate

        @jax.jit
        def on(state, method=method):
            return jax.lax.fori_loop(0, every, lambda _, state: method.step(state), state)

        state, ratios, losses = method.init(problem.start), [], []
        for _ in range(steps // every):
            state = on(state)
            ratios.append(preconditioned_curvature(state, scaled) / limit)
            losses.append(float(loss(state.position)))
        found[name] = {"limit": limit, "ratio": ratios, "loss": losses}
        late = ratios[-len(ratios) // 4 :]
        print(f"{name}: limit {limit:.6g}, curvature over it {min(late):.2f} to {max(late):.2f} at the end")
    return found


if __name__ == "__main__":
    main()
