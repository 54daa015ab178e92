"""Is tw.ExactFokkerPlanck faster than expm_multiply and py-pde on a linear Fokker-Planck equation, as accurately?

A double well with a coupling term in two dimensions, a narrow Gaussian to t = 10, on 256 x 256 cells. SciPy's
expm_multiply, which is what the public package fplanck calls, has the same sparse matrix, and both are exact in time to
their rounding. py-pde solves the equation in its own finite differences on the same cells, by its explicit stepper at
a stable step, to a fortieth of the time; its answer, of other differences in space, is compared through the means.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from scipy.sparse.linalg import expm_multiply

import thalweg as tw
from benchmarks._harness import Result, compare

CELLS, END, TEMPERATURE = 256, 10.0, 0.5
# Of py-pde, which takes half an hour to the same end.
BRIEF = 0.25
SIDE = 2.5


def potential(x: Any) -> Any:
    return (x[0] ** 2 - 1.0) ** 2 + (x[1] ** 2 - 1.0) ** 2 + 0.5 * x[0] * x[1]


def start(cells: int) -> tw.measures.Grid:
    edges = jnp.linspace(-SIDE, SIDE, cells + 1)
    return tw.measures.Grid.of(lambda x: jnp.exp(-50.0 * jnp.sum((x - 1.0) ** 2)), (edges, edges))


def matrix(q: tw.measures.Grid) -> Any:
    """The rates between neighbours by the exponential fluxes, written anew for the peer."""
    cells, width = q.density.shape[0], float(q.mesh.widths[0][0])
    x = np.asarray(q.points)
    level = np.asarray(potential(np.moveaxis(x, -1, 0)))
    index = np.arange(cells * cells).reshape(cells, cells)
    rows, columns, values = [], [], []
    for axis in (0, 1):
        low, high = (np.take(index, np.arange(cells - 1) + k, axis).ravel() for k in (0, 1))
        rise = (level.ravel()[high] - level.ravel()[low]) / TEMPERATURE
        rise = np.where(rise == 0.0, 1e-300, rise)
        up = TEMPERATURE / width**2 * rise / np.expm1(rise)
        down = TEMPERATURE / width**2 * -rise / np.expm1(-rise)
        for source, target, rate in ((low, high, up), (high, low, down)):
            rows += [target, source]
            columns += [source, source]
            values += [rate, -rate]
    size = cells * cells
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return scipy.sparse.coo_matrix(entries, shape=(size, size)).tocsr()


def pde_solution(q: tw.measures.Grid) -> Any:
    """A solution by py-pde, compiled before: a function of nothing."""
    import pde

    cells = q.density.shape[0]
    grid = pde.CartesianGrid([(-SIDE, SIDE)] * 2, cells)
    level = pde.ScalarField(grid, np.asarray(potential(np.moveaxis(np.asarray(q.points), -1, 0))))
    right = f"{TEMPERATURE} * laplace(c) + dot(gradient(c), gradient(V)) + c * laplace(V)"
    equation = pde.PDE({"c": right}, consts={"V": level}, bc={"derivative": 0})  # pyright: ignore
    first = pde.ScalarField(grid, np.asarray(q.density))
    # Below both limits of Euler's method, that of the diffusion and that of the steepest drift.
    steepest = 2.0 * (4.0 * SIDE**3) ** 2
    step = min(0.2 * (2.0 * SIDE / cells) ** 2 / TEMPERATURE, TEMPERATURE / steepest)

    def solve() -> np.ndarray:
        return equation.solve(first, t_range=BRIEF, dt=step, tracker=None).data  # pyright: ignore

    return solve


def results() -> Iterator[Result]:
    q = start(CELLS)
    functional = tw.measures.Potential(potential) + TEMPERATURE * tw.measures.Entropy()
    law = tw.GradientFlow(functional, geometry=tw.geometry.Wasserstein())
    method = tw.Method(law, tw.ExactFokkerPlanck(), END)
    state = method.init(q)
    step = eqx.filter_jit(lambda state: method.step(state).position.masses.ravel())
    rates, masses = matrix(q), np.asarray(q.masses).ravel()
    yield compare(
        f"expm_multiply, {CELLS} x {CELLS}", lambda: step(state), lambda: expm_multiply(END * rates, masses), 0.1, 3,
        1e-10,
    )  # fmt: skip
    solve = pde_solution(q)
    brief = tw.Method(law, tw.ExactFokkerPlanck(), BRIEF)
    short = eqx.filter_jit(lambda state: brief.step(state).position.masses.ravel())
    volume = float(q.volumes[0, 0])

    def ours() -> Any:
        return jnp.asarray(q.points.reshape(-1, 2)).T @ short(state)

    def peer() -> np.ndarray:
        # Its differences are not those of fluxes, so that the mass does not stay; the means are of what there is.
        masses = solve().ravel() * volume
        return np.asarray(q.points.reshape(-1, 2)).T @ masses / masses.sum()

    yield compare(f"py-pde, {CELLS} x {CELLS}", ours, peer, 0.2, 3, 1e-2)
