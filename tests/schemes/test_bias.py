"""The order of the bias of a sampler on a quartic well, by its transfer operator and not by chance.

The invariant density of a step is g exp(-U) with sum_j g_j <p_j, P p_k> = g_k for every k, where the p_j are
orthonormal under exp(-U) (times a Gaussian in the velocity) and (P p)(z) is the mean of p after the code's own step
from z, over its normal, by quadrature.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import thalweg as tw
from thalweg.schemes import Draws, State

EXACT = 2 * scipy.special.gamma(0.75) / scipy.special.gamma(0.25)
# The trapezoidal rule is exact to rounding on what vanishes at both ends.
X = np.linspace(-3.9, 3.9, 121)
WEIGHTS = np.exp(-(X**4) / 4)
WEIGHTS /= WEIGHTS.sum()
NORMALS, CHANCES = np.polynomial.hermite_e.hermegauss(24)
CHANCES = CHANCES / CHANCES.sum()


def recurrence(nodes, weights, degree):
    """Coefficients (a, b) of the orthonormal polynomials of a discrete measure: x p_k = b_k+1 p_k+1 + a_k p_k + ..."""
    a, b = np.zeros(degree), np.zeros(degree)
    before, now = np.zeros_like(nodes), np.ones_like(nodes)
    for k in range(degree):
        a[k] = np.sum(weights * nodes * now**2)
        after = (nodes - a[k]) * now - (b[k - 1] if k else 0.0) * before
        b[k] = np.sqrt(np.sum(weights * after**2))
        before, now = now, after / b[k]
    return a, b


def polynomials(x, a, b):
    found = [np.ones_like(x), (x - a[0]) / b[0]]
    for k in range(1, len(a)):
        found.append(((x - a[k]) * found[k] - b[k - 1] * found[k - 1]) / b[k])
    return np.stack(found, axis=-1)


LAW = tw.OverdampedLangevin(lambda x: jnp.sum(x**4) / 4, 1.0)
BATH = tw.UnderdampedLangevin(lambda x: jnp.sum(x**4) / 4, 1.0, 1.0)


def on_a_line(method, degree):
    """Positions before and after, averaged over the normal: for schemes whose state is a position."""
    rest = method.init(jnp.zeros(1))

    def end(x, normal):
        return method.step(rest.at(x[None], None), Draws(noise=(normal[None],))).position[0]

    ab = recurrence(X, WEIGHTS, degree)
    moved = averaged(end, X, lambda x: polynomials(x, *ab))
    return polynomials(X, *ab), moved, WEIGHTS, X**2


def behind_half_a_noise(method, degree):
    """Leimkuhler and Matthews: y = x - kept is Markov, for what is kept is independent of it."""
    rest = method.init(jnp.zeros(1))
    unit = method.step(rest, Draws(noise=(jnp.ones(1),))).memory - method.step(rest, method.silent(jnp.zeros(1))).memory

    def end(y, normal):
        kept = unit * normal
        state = State(y + kept, memory=kept)
        after = method.step(state, method.silent(kept))
        return (after.position - after.memory)[0]

    ab = recurrence(X, WEIGHTS, degree)
    moved = averaged(end, X, lambda y: polynomials(y, *ab))
    return polynomials(X, *ab), moved, WEIGHTS, X**2 + float(unit[0]) ** 2


def in_the_plane(method, degree):
    """Position and velocity: products of polynomials up to a total degree."""
    x, v = (grid.ravel() for grid in np.meshgrid(X[::2], NORMALS, indexing="ij"))
    weights = np.outer(WEIGHTS[::2], CHANCES).ravel()
    weights /= weights.sum()
    ab, cd = recurrence(X[::2], WEIGHTS[::2] / WEIGHTS[::2].sum(), degree), recurrence(NORMALS, CHANCES, degree)
    pairs = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]

    def basis(z):
        first, second = polynomials(z[:, 0], *ab), polynomials(z[:, 1], *cd)
        return np.stack([first[:, i] * second[:, j] for i, j in pairs], axis=-1)

    def end(z, normal):
        after = method.step(method.init(z[:1], z[1:]), Draws(noise=(normal[None],)))
        return jnp.concatenate([after.position, after.velocity])

    start = np.stack([x, v], axis=-1)
    return basis(start), averaged(end, start, basis), weights, x**2


def averaged(end, start, basis):
    step = jax.jit(jax.vmap(end, (0, None)))
    return sum(chance * basis(np.asarray(step(start, normal))) for normal, chance in zip(NORMALS, CHANCES, strict=True))


def mean_square(before, moved, weights, seen):
    """The mean of what is seen under the law that the step keeps."""
    transfer = before.T @ (weights[:, None] * moved)
    density = np.ones(len(transfer))
    density[1:] = np.linalg.solve((transfer[1:, 1:] - np.eye(len(transfer) - 1)).T, -transfer[0, 1:])
    return float(density @ (before.T @ (weights * seen)))


CASES = {
    "EulerMaruyama": (LAW, tw.EulerMaruyama(), on_a_line, 1, 0.005, 20),
    "StochasticHeun": (LAW, tw.StochasticHeun(), on_a_line, 2, 0.01, 20),
    "LeimkuhlerMatthews": (LAW, tw.LeimkuhlerMatthews(), behind_half_a_noise, 2, 0.02, 20),
    "BAOAB": (BATH, tw.Splitting("BAOAB"), in_the_plane, 2, 0.1, 14),
}


@pytest.mark.parametrize("name", CASES)
def test_the_bias_of_the_stationary_law_has_the_order_that_is_known(name):
    law, scheme, operator, order, h, degree = CASES[name]
    found, coarse = (
        [mean_square(*operator(tw.Method(law, scheme, step), n)) - EXACT for step in (2 * h, h)]
        for n in (degree, degree - 4)
    )
    # The polynomials are enough: fewer of them give the same.
    assert abs(coarse[1] - found[1]) < 0.02 * abs(found[1])
    assert np.log2(found[0] / found[1]) == pytest.approx(order, abs=0.15)
    # Of the law at a finite time, which is what a scheme declares, the order may be lower, never higher.
    assert scheme.order == (1 if name == "LeimkuhlerMatthews" else order)
