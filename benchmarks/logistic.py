"""Does tw.minimize fit a logistic regression in as few gradients as SciPy's L-BFGS-B, and in less time?

Breast cancer (two classes) and digits (ten), standardised, from the weights 0 to a gradient of 1e-6. Time is
that of the whole call once compiled; the peer calls a compiled function for f and its gradient, and ends as soon as the
gradient is small enough. A product of the Hessian counts as two gradients.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

import thalweg as tw
from benchmarks._collection import PROBLEMS
from benchmarks._harness import Result, compare

TOLERANCE, BUDGET = 1e-6, 10_000
REGULARISATIONS = (0.0, 1e-4, 1e-2)


def results() -> Iterator[Result]:
    quotients, walls = [], []
    for data in ("breast_cancer", "digits"):
        for regularisation in REGULARISATIONS:
            problem = PROBLEMS[f"{data}_{regularisation:g}"]
            case, x0 = f"{data.replace('_', ' ')}, lambda = {regularisation:g}", jnp.asarray(problem.x0)
            spent: dict[str, float] = {}
            ours, peer = _ours(tw.Objective(problem.fn), x0, spent), _peer(problem.fn, x0, spent)
            # f at both ends; where nothing regularises, it is flat along what separates the classes.
            wall = compare(f"{case}: time", ours, peer, 1.0, 9, 1e-4)
            gradients = Result(
                f"{case}: gradients", spent["ours"], spent["peer"], 3.0, 1, wall.difference, "gradients"
            )  # fmt: skip
            quotients.append(gradients.ratio)
            walls.append(wall.ratio)
            yield gradients
            yield wall
    yield Result("gradients, median of the ratios", float(np.median(quotients)), 1.0, 1.5, 1, 0.0, "times")
    yield Result("time, median of the ratios", float(np.median(walls)), 1.0, 1.0, 9, 0.0, "times")


def _ours(objective: tw.Objective, x0: jax.Array, spent: dict[str, float]) -> Callable:
    def run() -> float:
        found = tw.minimize(objective, x0, TOLERANCE, BUDGET, progress=False)
        assert found.status == "converged", found.message
        spent["ours"] = found.gradients
        return float(found.metrics["loss"][-1])

    return run


def _peer(fn: Callable, x0: jax.Array, spent: dict[str, float]) -> Callable:
    both = jax.jit(jax.value_and_grad(fn))
    start = np.asarray(x0)

    def run() -> float:
        count, last = 0, np.inf

        def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal count, last
            value, gradient = both(x)
            gradient, last = np.asarray(gradient), float(value)
            count += 1
            if np.linalg.norm(gradient) <= TOLERANCE:
                raise StopIteration
            return last, gradient

        options = {"maxiter": BUDGET, "maxfun": BUDGET, "ftol": 0.0, "gtol": 0.0}
        try:
            minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options)
        except StopIteration:
            spent["peer"] = count
            return last
        raise AssertionError("L-BFGS-B did not arrive")

    return run
