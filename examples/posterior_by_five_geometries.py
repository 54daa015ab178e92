"""The posterior of a logistic regression by five geometries: `python examples/posterior_by_five_geometries.py`.

Versicolor or virginica, by the width of the petals of 100 irises: the logarithm of the odds is a + b z. Particles drawn
from the prior of (a, b) go down the divergence to the posterior, in each geometry the way that is steepest there. The
petals are measured in their own deviations, and then in ten times that unit, under which the posterior of b is ten
times as wide: what is the same in all affine coordinates does not notice.
"""

import os

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_iris

import thalweg as tw

# Deviations of the normal prior of a and b, in the unit of one deviation.
PRIOR = np.array([3.0, 5.0])
# Units of the petals, and the error below which a flow is said to be there.
UNITS, NEAR = (1.0, 10.0), 0.3
NAMES = ("Wasserstein", "Fisher-Rao", "Wasserstein-Fisher-Rao", "Stein", "Kalman-Wasserstein")


def posterior(unit):
    """Minus the logarithm of the posterior of (a, b), with petals measured in so many of their deviations."""
    data = load_iris()
    width = data.data[data.target > 0, 3]
    z = jnp.asarray((width - width.mean()) / width.std() / unit)
    sign = jnp.asarray(2.0 * data.target[data.target > 0] - 3.0)
    deviations = jnp.asarray(PRIOR * [1.0, unit])

    def fn(x):
        return jnp.sum(jax.nn.softplus(-sign * (x[0] + x[1] * z))) + 0.5 * jnp.sum((x / deviations) ** 2)

    return fn


def quadrature(cells=400):
    """Mean and covariance of the posterior in the unit of one deviation, by the rule of midpoints on a box."""
    axes = [np.linspace(low, high, cells + 1) for low, high in ((-4.0, 4.0), (0.0, 16.0))]
    a, b = np.meshgrid(*(0.5 * (axis[1:] + axis[:-1]) for axis in axes), indexing="ij")
    points = np.stack([a.ravel(), b.ravel()], axis=1)
    heights = -np.asarray(jax.vmap(posterior(1.0))(jnp.asarray(points)))
    weights = np.exp(heights - heights.max())
    weights /= weights.sum()
    mean = weights @ points
    return mean, (weights[:, None] * (points - mean)).T @ (points - mean)


def settings(start):
    """By geometry: itself, the bandwidth that smoothes particles, the step, how many, the scheme where it is named."""
    g, kernel = tw.geometry, tw.measures.GaussianKernel(tw.measures.median_bandwidth(start))
    return {
        "Wasserstein": (g.Wasserstein(), None, 0.01, 1500, None),
        "Fisher-Rao": (g.FisherRao(), None, 0.05, 160, None),
        "Wasserstein-Fisher-Rao": (g.WassersteinFisherRao(), 0.3, 0.01, 600, None),
        "Stein": (g.Stein(kernel), None, 0.15, 800, tw.Euler()),
        "Kalman-Wasserstein": (g.KalmanWasserstein(), None, 0.0025, 2400, None),
    }


def moved(name, unit, particles):
    """A flow from the prior: particles at some 100 times in the unit of one deviation, and times and gradients."""
    drawn = PRIOR * np.random.default_rng(0).standard_normal((particles, 2))
    log_density = -0.5 * np.sum((drawn / PRIOR) ** 2, axis=1) if name == "Fisher-Rao" else None
    start = tw.measures.Particles(drawn * [1.0, unit], log_density=log_density)
    geometry, bandwidth, step, steps, scheme = settings(start)[name]
    functional = tw.measures.KL(posterior(unit), bandwidth=bandwidth)
    run = tw.measures.flow(
        functional, start, step * steps, geometry=geometry, scheme=scheme, steps=steps, key=0, progress=False,
        record=tw.Record((), positions=max(1, steps // 100)),
    )  # fmt: skip
    assert run.status == "finished", run.message
    q = run.trace.position
    per_step = run.gradients / run.steps
    return {
        "points": np.asarray(q.positions) / [1.0, unit], "weights": np.asarray(q.weights),
        "time": np.asarray(run.trace.time), "gradients": per_step * np.asarray(run.trace.step),
    }  # fmt: skip


def errors(found, mean, covariance):
    """Errors of means in deviations of the posterior, and of covariances in units of its own, by Frobenius' norm."""
    scale = np.linalg.inv(np.linalg.cholesky(covariance))
    means = np.einsum("tn,tnd->td", found["weights"], found["points"])
    apart = found["points"] - means[:, None]
    spreads = np.einsum("tn,tni,tnj->tij", found["weights"], apart, apart)
    of_mean = np.linalg.norm((means - mean) @ scale.T, axis=1)
    return of_mean, np.linalg.norm(scale @ spreads @ scale.T - np.eye(2), axis=(1, 2))


def main(particles=1000):
    """By geometry and unit, errors over time with where they first are small."""
    mean, covariance = quadrature()
    found = {}
    print(f"{'':25}{'mean there':>22}{'both there':>22}{'errors at the end':>20}")
    print(f"{'':25}{'time, gradients':>22}{'time, gradients':>22}{'mean, covariance':>20}")
    for name in NAMES:
        for unit in UNITS:
            one = moved(name, unit, particles)
            of_mean, of_covariance = errors(one, mean, covariance)
            one |= {"mean": of_mean, "covariance": of_covariance}
            one["effective"] = 1.0 / np.sum(one["weights"][-1] ** 2)
            one |= {"mean_there": there(of_mean), "there": there(np.maximum(of_mean, of_covariance))}
            found[name, unit] = one
            ends = f"{of_mean[-1]:.3f}, {of_covariance[-1]:.3f}"
            print(f"{name:23}{unit:2.0f}{_at(one, 'mean_there'):>22}{_at(one, 'there'):>22}{ends:>20}")
    left = found["Fisher-Rao", 1.0]["effective"]
    print(f"in Fisher-Rao {particles} particles of the prior come to weigh as {left:.0f} equal ones")
    for name in NAMES:
        here, other = (found[name, unit] for unit in UNITS)
        apart = max(np.abs(here[what] - other[what]).max() for what in ("points", "weights"))
        print(f"{name:23} the two units differ by {apart:.1e} on the way")
    return found


def there(error):
    """The first of the times from which on an error is small; None if there is none."""
    late = np.flatnonzero(error >= NEAR)
    first = 0 if late.size == 0 else int(late[-1]) + 1
    return first if first < len(error) else None


def _at(one, name):
    at = one[name]
    return "-" if at is None else f"{one['time'][at]:.2f}, {one['gradients'][at]:.0f}"


if __name__ == "__main__":
    main()
