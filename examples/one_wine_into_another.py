"""A density of data moved onto another, two wines of scikit-learn: `python examples/one_wine_into_another.py`.

Alcohol and colour of the wines of one cultivar are smoothed to a density on a grid, which flows to that of another,
down the divergence of Kullback and Leibler. Particles with noise go the same way. Then the wines themselves move, down
a Sinkhorn divergence: as it nears the square of Wasserstein's distance, every wine goes straight to its partner, and
what is left of the way is exp(-2 t).
"""

import os

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_wine

import thalweg as tw

FEATURES = ("alcohol", "color_intensity")
# Deviation of the kernel that smoothes, in those of the data; ends of the grid; epsilon of the Sinkhorn divergence.
SMOOTHED, ENDS, EPSILON = 0.35, 4.5, 0.1


def wines():
    """Two cultivars, 59 wines of each: two features, standardised."""
    data = load_wine()
    columns = [data.feature_names.index(name) for name in FEATURES]
    chosen = [data.data[data.target == cultivar][:59, columns] for cultivar in (0, 1)]
    both = np.concatenate(chosen)
    return [(one - both.mean(axis=0)) / both.std(axis=0) for one in chosen]


def potential(points):
    """Minus the logarithm of the density of points that a Gaussian kernel smoothes, but for a constant."""
    points = jnp.asarray(points)

    def fn(x):
        return -jax.nn.logsumexp(-0.5 * jnp.sum((x[None] - points) ** 2, axis=1) / SMOOTHED**2)

    return fn


def on_grid(points, cells):
    """The smoothed density on a grid."""
    fn = potential(points)
    return tw.measures.Grid.of(lambda x: jnp.exp(-fn(x)), (np.linspace(-ENDS, ENDS, cells + 1),) * 2)


def by_density(here, there, time, cells, particles):
    """The smoothed density on a grid, and particles with noise: their runs, and how far apart they end."""
    start, goal = on_grid(here, cells), on_grid(there, cells)
    grid = tw.measures.flow(tw.measures.KL(goal), start, time, steps=100, progress=False)
    drawn = tw.measures.Particles.of(start, particles, 0)
    langevin = tw.measures.flow(
        tw.measures.KL(potential(there)), drawn, time, steps=400, key=1, record=None, progress=False
    )
    apart = tw.measures.wasserstein(grid.final.position, langevin.final.position, "sliced", errors=True, directions=30)
    return {"grid": grid, "goal": goal, "particles": langevin.final.position, "apart": apart}


def by_sinkhorn(here, there, time):
    """The wines themselves down a Sinkhorn divergence, and straight to their partners: the run, and the way left."""
    run = tw.measures.flow(
        tw.measures.Sinkhorn(there, EPSILON), tw.measures.Particles(here), time, steps=60, progress=False
    )
    cost = ((here[:, None] - there[None]) ** 2).sum(axis=-1)
    partner = there[linear_sum_assignment(cost)[1]]
    goal = tw.measures.Particles(there)
    at = np.asarray(run.trace.time)
    paths = np.asarray(run.trace.position.positions)
    straight = partner + np.exp(-2.0 * at)[:, None, None] * (here - partner)
    left = [tw.measures.wasserstein(tw.measures.Particles(x), goal) for x in paths]
    beside = [
        tw.measures.wasserstein(tw.measures.Particles(x), tw.measures.Particles(y))
        for x, y in zip(paths, straight, strict=True)
    ]
    return {"wines": run, "partner": partner, "left": np.array(left), "beside": np.array(beside)}


def main(cells=60, particles=2000):
    """Both flows, with what they show."""
    here, there = wines()
    density = by_density(here, there, 3.0, cells, particles)
    moved = by_sinkhorn(here, there, 1.0)
    metrics = density["grid"].metrics
    energy, slope, at = (np.asarray(metrics[name]) for name in ("loss", "gradient_norm", "time"))
    fall, rate = -np.diff(energy) / np.diff(at), 0.5 * (slope[1:] ** 2 + slope[:-1] ** 2)
    masses = np.asarray(density["grid"].trace.position.density).sum(axis=(1, 2)) * (2.0 * ENDS / cells) ** 2
    found = {
        "here": here, "there": there, "energy": energy, "time": at, "ratio": fall / rate,
        "mass": float(np.abs(masses - 1.0).max()), "sinkhorn": np.asarray(moved["wines"].metrics["loss"]),
        **density, **moved,
    }  # fmt: skip
    apart, left, sinkhorn = found["apart"], found["left"], found["sinkhorn"]
    print(f"divergence {energy[0]:.3f} at the start, {energy[-1]:.4f} at time 3")
    print(
        f"its fall over its dissipation {found['ratio'][5:].min():.3f} to {found['ratio'][5:].max():.3f} after 5 steps"
    )
    print(f"mass within {found['mass']:.0e} of 1")
    print(f"grid and particles end {apart.value:.3f} apart, of which drawing them explains {apart.error:.3f}")
    print(f"wines: Sinkhorn divergence to {sinkhorn[-1] / sinkhorn[0]:.4f} of itself, exp(-4) is {np.exp(-4):.4f}")
    print(f"distance {left[0]:.3f} to {left[-1]:.3f}, exp(-2) of it {left[0] * np.exp(-2):.3f}")
    print(f"never farther than {found['beside'].max():.3f} from the straight ways")
    return found


if __name__ == "__main__":
    main()
