"""A million independent chains that begin in the law of a target, or soon are there, are in it still."""

import equinox as eqx
import jax
import numpy as np
import pytest

import thalweg as tw
from tests.chance import scores

CHAINS, PART = 1_000_000, 100_000


@eqx.filter_jit
def moved(method, start, key, steps):
    """Positions after some steps, each chain with noise of its own."""

    def step(i, state):
        return jax.vmap(method.step)(state, method.draw(jax.random.fold_in(key, i), state.position, chains=PART))

    return jax.lax.fori_loop(0, steps, step, jax.vmap(method.init)(start)).position


def ended(problem, method, steps, key):
    """(means, variances) of a million chains in standard errors from those of the law; and how far they went."""
    parts = []
    for i in range(CHAINS // PART):
        begin, go = jax.random.split(jax.random.fold_in(key, i))
        # Between low wells a law that is not begun in is reached soon.
        start = jax.random.normal(begin, (PART, 2)) if problem.sampler is None else problem.sampler(begin, PART)
        parts.append((np.asarray(start), np.asarray(moved(method, start, go, steps))))
    start, end = (np.concatenate(of) for of in zip(*parts, strict=True))
    mean, variance = np.asarray(problem.moments.mean), np.asarray(problem.moments.variance)
    correlation = [np.corrcoef(start[:, i], end[:, i])[0, 1] for i in range(end.shape[1])]
    return scores(end, mean), scores((end - mean) ** 2, variance), correlation


def underdamped(problem, step):
    law = tw.UnderdampedLangevin(problem.objective, friction=1.0, temperature=problem.moments.temperature)
    return tw.Method(law, tw.Splitting("BAOAB"), step)


CASES = {
    "banana": (lambda p: tw.mala(p.objective, 0.3, p.moments.temperature), 60, 2),
    "gaussian-mixture": (lambda p: tw.mala(p.objective, 0.5, p.moments.temperature), 40, 2),
    "double-well": (lambda p: underdamped(p, 0.05), 600, 2),
    "funnel": (lambda p: tw.mala(p.objective, 0.05, p.moments.temperature), 150, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_target_is_kept(name, key, chance):
    make, steps, looked = CASES[name]
    problem = tw.problems.get(name)
    means, variances, correlation = ended(problem, make(problem), steps, key)
    z = chance.z(2 * looked)
    assert np.abs(means[:looked]).max() < z and np.abs(variances[:looked]).max() < z
    # They have gone somewhere: in the mixture and between the wells not from one to the other.
    assert min(correlation) < 0.9


@pytest.mark.slow
def test_a_wrong_law_is_told_apart(key):
    """Without the rejections, at the same step."""
    problem = tw.problems.get("banana")
    means, variances, _ = ended(problem, tw.sgld(problem.objective, 0.3, problem.moments.temperature), 60, key)
    assert max(np.abs(means).max(), np.abs(variances).max()) > 20.0
