"""Minimisers on one problem, each until its gradient is small: python -m benchmarks._peers_minimize [PROBLEM ...].

All have the same goal, a gradient of at most `tolerance` max(1, |g0|) in the Euclidean norm at a point they evaluated,
and the same budget. What they would stop at by themselves is switched off. Seconds are those of a first call, with the
compilation.
"""

import os

if __name__ == "__main__":
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    os.environ.setdefault("EQX_ON_ERROR", "nan")

import contextlib
import csv
import dataclasses
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from scipy import optimize

import thalweg as tw
from benchmarks._collection import PROBLEMS, Problem

BUDGET, TOLERANCE = 10_000, 1e-5
KEPT = Path(__file__).parent / "minimizers.csv"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Whether the goal was reached, the evaluations of f with its gradient until then, f there, and seconds."""

    reached: bool
    gradients: int
    f: float
    seconds: float


class _DoneError(Exception):
    """The goal is reached or the budget spent."""


def _scipy(problem: Problem, max_gradients: int, tolerance: float, method: str, options: dict[str, Any]) -> Outcome:
    began = time.perf_counter()
    both = jax.jit(jax.value_and_grad(problem.fn))
    count, goal, value, reached = 0, np.inf, np.inf, False

    def counted(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal count, goal, value, reached
        count += 1
        f, slope = both(x)
        value, slope = float(f), np.array(slope)
        size = np.linalg.norm(slope)
        if count == 1:
            goal = tolerance * max(1.0, size)
        reached = bool(size <= goal)
        if reached or count >= max_gradients:
            raise _DoneError
        return value, slope

    # A peer that meets an overflow is no fault of ours.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with contextlib.suppress(_DoneError):
            value = optimize.minimize(counted, problem.x0, jac=True, method=method, options=options).fun
    return Outcome(reached, count, float(value), time.perf_counter() - began)


def lbfgsb(problem: Problem, max_gradients: int = BUDGET, tolerance: float = TOLERANCE) -> Outcome:
    options = {"maxiter": 10**9, "maxfun": 10**9, "ftol": 0.0, "gtol": 0.0}
    return _scipy(problem, max_gradients, tolerance, "L-BFGS-B", options)


def bfgs(problem: Problem, max_gradients: int = BUDGET, tolerance: float = TOLERANCE) -> Outcome:
    return _scipy(problem, max_gradients, tolerance, "BFGS", {"maxiter": 10**9, "gtol": 0.0})


class _UntilFlat(optimistix.BFGS):
    """optimistix.BFGS with a test of the gradient in the place of Cauchy's."""

    def terminate(self, fn, y, args, options, state, tags):
        flat = jnp.linalg.norm(state.f_info.grad) <= options["goal"]
        return (state.num_accepted_steps > 0) & flat, state.result


def optimistix_bfgs(problem: Problem, max_gradients: int = BUDGET, tolerance: float = TOLERANCE) -> Outcome:
    """Each of its steps is counted as one evaluation; at a step that its search rejects it takes f alone."""
    began = time.perf_counter()
    x0, solver = jnp.asarray(problem.x0), _UntilFlat(rtol=0.0, atol=0.0)
    goal = tolerance * max(1.0, float(jnp.linalg.norm(jax.grad(problem.fn)(x0))))

    @eqx.filter_jit
    def solve(x0: jax.Array, goal: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        solution = optimistix.minimise(
            lambda x, _: problem.fn(x), solver, x0, options={"goal": goal}, max_steps=max_gradients, throw=False
        )
        f, slope = jax.value_and_grad(problem.fn)(solution.value)
        return jnp.linalg.norm(slope) <= goal, solution.stats["num_steps"], f

    reached, count, f = solve(x0, jnp.asarray(goal))
    return Outcome(bool(reached), int(count), float(f), time.perf_counter() - began)


def ours(problem: Problem, max_gradients: int = BUDGET, tolerance: float = TOLERANCE) -> Outcome:
    """tw.minimize; a product of the Hessian counts as two gradients, also those after the goal is reached."""
    began = time.perf_counter()
    x0, both = jnp.asarray(problem.x0), jax.jit(jax.value_and_grad(problem.fn))
    goal = tolerance * max(1.0, float(jnp.linalg.norm(both(x0)[1])))
    run = tw.minimize(problem.fn, x0, goal, max_gradients, record=None)
    f, slope = both(run.final.position)
    # What is compiled here may round otherwise than what the run compiled.
    reached = float(jnp.linalg.norm(slope)) <= 1.0001 * goal
    return Outcome(reached, int(run.gradients), float(f), time.perf_counter() - began)


MINIMIZERS: dict[str, Callable[..., Outcome]] = {
    "tw.minimize": ours,
    "L-BFGS-B": lbfgsb,
    "BFGS": bfgs,
    "optimistix BFGS": optimistix_bfgs,
}
Outcomes = dict[str, dict[str, Outcome]]


def measure(problems: Iterable[Problem], minimizers: Iterable[str] = MINIMIZERS) -> Outcomes:
    """Every minimiser on every problem, a line of each as it comes."""
    found: Outcomes = {}
    print(f"{'problem':28}{'d':>5}" + "".join(f"{name:>17}" for name in minimizers), flush=True)
    for problem in problems:
        found[problem.name] = {name: MINIMIZERS[name](problem) for name in minimizers}
        cells = (f"{o.gradients:>17}" if o.reached else f"{'-':>17}" for o in found[problem.name].values())
        print(f"{problem.name:28}{problem.size:>5}" + "".join(cells), flush=True)
        # The programs of 140 problems are more than a process may map into its memory.
        jax.clear_caches()
    return found


def solved(found: Outcomes, name: str) -> int:
    return sum(row[name].reached for row in found.values())


def ratios(found: Outcomes, name: str, peer: str) -> dict[str, float]:
    """Gradients of one over those of a peer, on the problems that both solve."""
    rows = {problem: (row[name], row[peer]) for problem, row in found.items()}
    return {problem: a.gradients / b.gradients for problem, (a, b) in rows.items() if a.reached and b.reached}


def keep(found: Outcomes, file: Path = KEPT) -> None:
    """A row a problem: the gradients of each minimiser, nothing where it fails."""
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["problem", *next(iter(found.values()))])
        for problem, row in found.items():
            writer.writerow([problem, *(o.gradients if o.reached else "" for o in row.values())])


def kept(file: Path = KEPT) -> dict[str, np.ndarray]:
    """The gradients of each minimiser on every problem that was kept, infinite where it fails."""
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in rows[0] if name != "problem"]
    return {name: np.array([float(row[name] or "inf") for row in rows]) for name in names}


def report(found: Outcomes) -> None:
    print(f"\n{len(found)} problems")
    for name in next(iter(found.values())):
        spent = [row[name].gradients for row in found.values() if row[name].reached]
        against = list(ratios(found, name, "L-BFGS-B").values())
        middle, high = np.quantile(against, [0.5, 0.9])
        print(
            f"{name:16} solves {len(spent):4}, in {np.median(spent):6.0f} gradients (median); "
            f"over L-BFGS-B's: median {middle:.2f}, 90 % {high:.2f}"
        )
    for problem, row in found.items():
        if not row["tw.minimize"].reached:
            others = ", ".join(f"{name} {o.gradients}" for name, o in row.items() if o.reached) or "nobody"
            print(f"  tw.minimize fails on {problem} after {row['tw.minimize'].gradients}; solved by {others}")
    for problem, ratio in sorted(ratios(found, "tw.minimize", "L-BFGS-B").items(), key=lambda item: -item[1]):
        if ratio > 2.0:
            a, b = found[problem]["tw.minimize"], found[problem]["L-BFGS-B"]
            print(f"  {problem:28} {a.gradients:6} to {b.gradients:6} of L-BFGS-B, {ratio:.2f}; f {a.f:.6g}, {b.f:.6g}")


if __name__ == "__main__":
    asked = sys.argv[1:] or list(PROBLEMS)
    report(measure([PROBLEMS[name] for name in asked]))
