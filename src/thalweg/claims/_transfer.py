"""Transfer operators of a method's own noisy steps in two wells: its law, and how it changes sides."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import chebyshev, hermite_e
from scipy.linalg import lu_factor, lu_solve

from .._methods.method import Method
from ..dynamics import ColouredLangevin, UnderdampedLangevin
from ..schemes import Draws

REACH = 2.4
EVEN, ODD = 0, 1
_NODES = 6
_ROUNDS = 30


def _functions(x: np.ndarray, y: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    i, j = degrees.T
    return chebyshev.chebvander(x / REACH, i.max())[..., i] * hermite_e.hermevander(y, j.max())[..., j]


@eqx.filter_jit
def _stepped(
    method: Method, x: Float[Array, " n"], y: Float[Array, " n"], width: float, normals: Float[Array, "m k"]
) -> tuple[Float[Array, "n m"], Float[Array, "n m"]]:
    """Positions to which the method goes from each state by each draw."""

    def one(x: Array, y: Array, normal: Array) -> tuple[Array, Array]:
        moving = method.dynamics.order == 2
        state = method.init(x[None], width * y[None] if moving else None)
        memory = state.auxiliary is not None
        if memory:
            state = dataclasses.replace(state, auxiliary=width * y[None])
        state = method.step(state, Draws(noise=tuple(normal[:, None])))
        other = state.velocity if moving else state.auxiliary
        return state.position[0], other[0] / width if moving or memory else y  # pyright: ignore

    return jax.vmap(jax.vmap(one, (None, None, 0)), (0, 0, None))(x, y, normals)


def transfer(method: Method, parity: int, degree: int = 40, modes: int = 1) -> np.ndarray:
    r"""$(Pg)(z) = \mathbb{E}\,g(z^+)$ on polynomials of one parity, for a well that is its own mirror image.

    In $T_i(x/\mathtt{REACH})\,\mathrm{He}_j(\zeta/\mathtt{width})$, $\zeta$ the noise or the velocity, with $i + j$
    even or odd, collocated; the mean over
    the normals of a step by Gauss-Hermite quadrature.

    Arguments:
        method: overdamped, coloured or underdamped Langevin dynamics in the two wells.
        parity: EVEN or ODD.
        degree: how many polynomials in x, an even number.
        modes: how many in the noise, where it is coloured, or in the velocity.
    """
    law = method.dynamics
    width = 1.0
    if isinstance(law, UnderdampedLangevin):
        width = float(law.temperature) ** 0.5  # pyright: ignore[reportArgumentType]
    if isinstance(law, ColouredLangevin):
        width = float(law.temperature / law.correlation_time) ** 0.5  # pyright: ignore
    i, j = np.divmod(np.arange(degree * modes), modes)
    degrees = np.stack([i, j], axis=1)[(i + j) % 2 == parity]
    # By the symmetry the nodes on the right are enough.
    x = REACH * np.cos(np.pi * (np.arange(degree // 2) + 0.5) / degree)
    y = hermite_e.hermegauss(modes)[0]
    x, y = (grid.ravel() for grid in np.meshgrid(x, y, indexing="ij"))
    nodes, weights = hermite_e.hermegauss(_NODES)
    draws = np.stack([grid.ravel() for grid in np.meshgrid(*[nodes] * method.normals)], axis=1)
    chance = np.prod([grid.ravel() for grid in np.meshgrid(*[weights / weights.sum()] * method.normals)], axis=0)
    after = _stepped(method, jnp.asarray(x), jnp.asarray(y), width, jnp.asarray(draws))
    mean = sum(p * _functions(np.asarray(after[0])[:, k], np.asarray(after[1])[:, k], degrees)
               for k, p in enumerate(chance))  # fmt: skip
    return np.linalg.solve(_functions(x, y, degrees), mean)


def second_moment(method: Method, degree: int = 40, modes: int = 1) -> float:
    r"""$\langle x^2\rangle$ of the stationary law: $\pi P = \pi$, and $x^2 = \tfrac12\mathtt{REACH}^2(T_0 + T_2)$."""
    matrix = transfer(method, EVEN, degree, modes)
    still = matrix.T - np.eye(len(matrix))
    # The first number of the law is the mean of 1, which is 1; as many functions as modes stand before T_2 alone.
    law = np.linalg.lstsq(still[:, 1:], -still[:, 0], rcond=None)[0]
    return float(0.5 * REACH**2 * (1.0 + law[modes - 1]))


def residence_time(method: Method, degree: int = 40, modes: int = 1) -> float:
    r"""The mean time on one side: $2/\lambda$ with the slowest rate $\lambda$ at which an odd function is forgotten."""
    matrix = transfer(method, ODD, degree, modes)
    slowest = least_eigenvalue(np.eye(len(matrix)) - matrix)
    return float(-2.0 * float(method.step_size) / np.log1p(-slowest))  # pyright: ignore[reportArgumentType]


def least_eigenvalue(matrix: np.ndarray) -> float:
    """The real eigenvalue nearest to 0, well apart from the others, by inverse iteration."""
    factors, vector = lu_factor(matrix), np.ones(len(matrix))
    for _ in range(_ROUNDS):
        vector = lu_solve(factors, vector)
        vector = vector / np.linalg.norm(vector)
    return float(vector @ matrix @ vector)
