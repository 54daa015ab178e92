"""The problems that minimisers are judged by: gradients, published values and minima; the counts of the peers."""

import math
import warnings

import jax
import numpy as np
import pytest
from scipy import optimize

pytest.importorskip("sklearn")

from benchmarks._collection import PROBLEMS

# f at the start, as others print it.
AT_START = {
    "rosenbrock": 24.2,
    "freudenstein_roth": 400.5,
    "beale": 14.203125,
    "helical_valley": 2500.0,
    "powell_singular": 215.0,
    "wood": 19192.0,
    "brown_dennis": 7926693.336997432,
    "box_3d": 1031.1538106093985,
    "extended_rosenbrock": 50 * 24.2,
    "extended_powell": 25 * 215.0,
    "variably_dimensioned": 3.85 + (3.85 * 10) ** 2 + (3.85 * 10) ** 4,
    "digits_0": math.log(10.0),
    "breast_cancer_0": math.log(2.0),
}
# From their starts BFGS ends at minima that nobody published, or crawls.
ELSEWHERE = {"watson_12", "heart6ls", "chainwoo", "extrosnb", "fletchcr", "trigonometric_100", "tridia", "maratosb"}
# A program that runs once: to optimise it costs more than it gains.
CHEAP = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def at_once(function, points):
    """The function of every problem at its point, in one program."""

    @jax.jit
    def everything(points):
        return {name: function(PROBLEMS[name].fn, x) for name, x in points.items()}

    return everything.lower(points).compile(CHEAP)(points)


@pytest.mark.slow
def test_values_at_the_starts_are_finite_and_as_published():
    found = at_once(lambda fn, x: jax.value_and_grad(fn)(x), {name: p.x0 for name, p in PROBLEMS.items()})
    for name, (f, gradient) in found.items():
        assert np.shape(f) == () and np.isfinite(f) and np.isfinite(gradient).all(), name
        if name in AT_START:
            np.testing.assert_allclose(f, AT_START[name], rtol=1e-12, err_msg=name)


@pytest.mark.slow
def test_gradients_are_those_of_differences(rng):
    lines = {name: rng.normal(size=p.size) / math.sqrt(p.size) for name, p in PROBLEMS.items()}
    points = {name: p.x0[None] + 1e-4 * np.arange(-2, 3)[:, None] * lines[name][None] for name, p in PROBLEMS.items()}
    found = at_once(lambda fn, x: jax.vmap(jax.value_and_grad(fn))(x), points)
    for name, (f, gradients) in found.items():
        f, gradient = np.array(f), np.array(gradients)[2]
        differences = (8.0 * (f[3] - f[1]) - (f[4] - f[0])) / 12e-4
        # The part of rounding, of all sums that f is made of, and that of the differences.
        bound = 1e-10 * max(1.0, abs(f[2])) + 1e-6 * np.linalg.norm(gradient)
        assert abs(differences - gradient @ lines[name]) <= bound, name


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, p in PROBLEMS.items() if p.minima and name not in ELSEWHERE])
def test_published_minima_are_found(name):
    problem = PROBLEMS[name]
    both = jax.jit(jax.value_and_grad(problem.fn))
    # Which of them gets there may hang on the rounding of f.
    options = {"BFGS": {"gtol": 1e-9, "maxiter": 5000}, "L-BFGS-B": {"gtol": 1e-9, "maxiter": 5000, "ftol": 1e-15}}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflow on the way, in SciPy
        ends = [
            optimize.minimize(
                lambda x: tuple(map(np.array, both(x))), problem.x0, jac=True, method=method, options=options[method]
            )
            for method in options
            if method == "L-BFGS-B" or problem.size <= 200
        ]
    # To the five digits that are printed, and to the flatness where the least is 0.
    off = [abs(end.fun - least) / max(abs(least), 1e-300) for least in problem.minima for end in ends]
    assert min(off) <= 5e-5 or (0.0 in problem.minima and min(end.fun for end in ends) <= 1e-8)


def test_peers_stop_at_the_goal_or_at_the_budget():
    pytest.importorskip("optimistix")
    from benchmarks._peers_minimize import bfgs, lbfgsb, optimistix_bfgs

    problem = PROBLEMS["rosenbrock"]
    for peer in (lbfgsb, bfgs, optimistix_bfgs):
        found = peer(problem)
        assert found.reached and 20 < found.gradients < 100 and found.f < 1e-6
        short = peer(problem, max_gradients=found.gradients - 1)
        assert not short.reached and short.gradients == found.gradients - 1


def test_what_is_kept_is_read_back(tmp_path):
    pytest.importorskip("optimistix")
    from benchmarks._peers_minimize import Outcome, keep, kept, ratios, solved

    a, b, failed = Outcome(True, 30, 0.0, 1.0), Outcome(True, 20, 0.0, 1.0), Outcome(False, 10_000, 1.0, 1.0)
    found = {"one": {"ours": a, "peer": b}, "other": {"ours": a, "peer": failed}}
    keep(found, tmp_path / "kept.csv")
    read = kept(tmp_path / "kept.csv")
    assert read["ours"].tolist() == [30.0, 30.0] and read["peer"].tolist() == [20.0, np.inf]
    assert (solved(found, "ours"), solved(found, "peer")) == (2, 1)
    assert ratios(found, "ours", "peer") == {"one": 1.5}
