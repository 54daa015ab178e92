"""Full-batch Adam on handwritten digits, and the limit about which it hovers: `python examples/adam_edge.py`.

The curvature that counts is that of the loss over the root of Adam's average of squares. It rises until a step goes too
far, in the one direction of the largest; the squares of the gradient grow there, and bring it down again. So it stays
at the limit that the linear probe computes from Adam's own step, 2(1 + beta1)/(1 - beta1) over the learning rate.
"""

import os

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import optax

import thalweg as tw

# Learning rate and beta1.
SETTINGS = {"beta1 = 0.9": (0.01, 0.9), "beta1 = 0.5": (0.003, 0.5)}
BETA2, EPSILON = 0.99, 1e-7


def main(steps=2000, every=20):
    """Preconditioned curvatures over their limit, and losses, by setting; at every so many steps."""
    problem = tw.problems.network_digits(hidden=16)
    f, found = problem.objective, {}
    loss = jax.jit(lambda x: f.value(x))
    for name, (rate, beta1) in SETTINGS.items():
        optimizer = optax.adam(rate, beta1, BETA2, EPSILON)
        numbers = tw.AdamHyperparameters(rate, beta1, BETA2, EPSILON)
        limit = tw.analysis.largest_stable_learning_rate(numbers.method(), 1.0) / rate

        @jax.jit
        def on(x, state, optimizer=optimizer):
            def step(_, carry):
                x, state = carry
                updates, state = optimizer.update(f.gradient(x), state, x)
                return optax.apply_updates(x, updates), state

            return jax.lax.fori_loop(0, every, step, (x, state))

        x, state = problem.start, optimizer.init(problem.start)
        ratios, losses = [], []
        for _ in range(steps // every):
            x, state = on(x, state)
            curvature = tw.adapters.optax.preconditioned_curvature(f, x, state, numbers, 100, 1e-3)
            ratios.append(curvature / limit)
            losses.append(float(loss(x)))
        found[name] = {"limit": limit, "ratio": ratios, "loss": losses}
        late = ratios[-len(ratios) // 4 :]
        print(f"{name}: limit {limit:.6g}, curvature over it {min(late):.2f} to {max(late):.2f} at the end")
    return found


if __name__ == "__main__":
    main()
