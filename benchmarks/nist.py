"""Does tw.minimize fit the regressions of NIST as often as SciPy's lm, and at what cost?

Solved is the certified sum of squares to 6 digits. The cost counts a residual as 1 and a Jacobian as many as it has
columns, both exact derivatives, both methods with their own tolerances and as many evaluations as they ask for. The
starts are those of NIST, the first of each far off; models and data are in benchmarks/_nist.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

import thalweg as tw
from benchmarks._harness import Result
from benchmarks._nist import MODELS, Regression, regression


def results() -> Iterator[Result]:
    ratios, solved, runs = [], [0, 0], 0
    for problem in map(regression, MODELS):
        f = tw.LeastSquares(problem.residuals, (problem.x, problem.y))
        for which, start in enumerate(problem.starts, 1):
            ours, peer = by_minimize(f, start), by_lm(problem, start)
            right = [abs(total / problem.sum_of_squares - 1.0) <= 1e-6 for total, _ in (ours, peer)]
            words = ["" if found else " NOT SOLVED" for found in right]
            print(f"  {problem.name:9} {which}   ours {ours[1]:5}{words[0]}   lm {peer[1]:5}{words[1]}", flush=True)
            solved = [count + found for count, found in zip(solved, right, strict=True)]
            runs += 1
            if all(right):
                ratios.append(ours[1] / peer[1])
    yield Result(
        f"solves {solved[0]} of {runs}, lm {solved[1]}", runs / solved[0], runs / solved[1], 1.0, 1, 0.0, "tries"
    )
    yield Result(f"cost over lm's, both solve {len(ratios)}: median", float(np.median(ratios)), 1.0, 1.5, 1, 0.0, "×")


def by_minimize(f: tw.LeastSquares, start: np.ndarray) -> tuple[float, int]:
    """The sum of squares that ours ends at, and its cost."""
    run = tw.minimize(f, jnp.asarray(start))
    return run.fit.sum_of_squares, run.gradients


def by_lm(problem: Regression, start: np.ndarray) -> tuple[float, int]:
    """The same of MINPACK's."""
    fn = jax.jit(lambda b: problem.residuals(b, (problem.x, problem.y)))
    derivative = jax.jit(jax.jacfwd(fn))
    found = optimize.least_squares(
        lambda b: np.asarray(fn(b)), start, lambda b: np.asarray(derivative(b)), method="lm", max_nfev=100_000
    )
    return 2.0 * found.cost, found.nfev + len(start) * found.njev
