"""Two players, one of whom goes down a function and the other up it: `python examples/two_players.py`.

Their motion is no descent: `tw.Field` and `tw.DampedField` follow it, and the step itself says how it grows.

- The game f(x, y) = xy, which is pure rotation: who spirals outwards, and who comes in.
- A generator of one number against a discriminator of one, on a mixture of two points: how many steps they take to
  leave the saddle where the generator makes the mean alone, and which of them stay at the solution.
- The same with a network against radial features, on a mixture of two Gaussians, from several starts.
"""

import os

os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.special import ndtri

import thalweg as tw

BETA = 0.9
EXTRAGRADIENT = tw.ButcherTableau("extragradient", ((), (1.0,)), (0.0, 1.0), 1, "korpelevich1976")
# Of the small game: how much the discriminator's strength costs. Of the network: features, their width, particles.
RIDGE = 2.0
CENTRES, WIDTH, PARTICLES, HIDDEN, COST = np.linspace(-2.0, 2.0, 15), 0.5, 64, 8, 1.0
HEIGHT = np.sum(np.exp(-((CENTRES / WIDTH) ** 2))) ** -0.5


def with_momentum(field, rate, beta, scheme):
    """Momentum on a field: the step and the friction at which leapfrog has this learning rate and this momentum."""
    half = (1.0 - beta) / (1.0 + beta)
    step = (rate * (1.0 + half)) ** 0.5
    return tw.Method(tw.DampedField(field, friction=2.0 * half / step), scheme, step)


def methods(field, rate, beta=BETA):
    """Those that are set side by side at the same numbers, by name."""
    return {
        "descent-ascent": tw.Method(tw.Field(field), tw.Euler(), rate),
        "momentum": with_momentum(field, rate, beta, tw.Leapfrog(start="zero")),
        "Nesterov": with_momentum(field, rate, beta, tw.Lookahead(start="zero")),
        "extragradient": tw.Method(tw.Field(field), tw.RungeKutta(EXTRAGRADIENT), rate),
    }


def run_of(method, start, steps, save):
    """Some number of every state on the way, the start first."""
    return tw.solve(method, start, steps, save=save).saved


def rotation(t, x, args):
    """Down f = xy by x, up it by y."""
    del t, args
    return jnp.stack([-x[1], x[0]])


def alternating(rate, beta):
    """The matrix of a step on (x, y, their velocities) in which y sees where x has gone."""
    first = np.array([[1, -rate, beta, 0], [0, 1, 0, 0], [0, -rate, beta, 0], [0, 0, 0, 1]])
    second = np.array([[1, 0, 0, 0], [rate, 1, 0, beta], [0, 0, 1, 0], [rate, 0, 0, beta]])
    return second @ first


def bilinear(rate=0.1, steps=400):
    """Growth a step on f = xy, from the step's own matrix and from a run."""
    shown = methods(rotation, rate, 0.5)
    shown["negative momentum, -0.5"] = with_momentum(rotation, rate, -0.5, tw.Leapfrog(start="zero"))
    shown["look-ahead 4 times Nesterov's"] = with_momentum(rotation, rate, 0.5, tw.Lookahead(4.0, start="zero"))
    found = {}
    for name, method in shown.items():
        radius = tw.analysis.spectral_radius(method, at=(0.0, jnp.zeros(2)))
        sizes = np.asarray(run_of(method, jnp.ones(2), steps, lambda s: jnp.linalg.norm(s.position)))
        found[name] = (float(radius), float((sizes[-1] / sizes[steps // 2]) ** (2.0 / steps)))
    for beta in (0.0, -0.5):
        matrix, x = alternating(rate, beta), np.array([1.0, 1.0, 0.0, 0.0])
        sizes = []
        for _ in range(steps):
            x = matrix @ x
            sizes.append(np.linalg.norm(x[:2]))
        name = f"in turns, momentum {beta:g}"
        found[name] = (np.abs(np.linalg.eigvals(matrix)).max(), (sizes[-1] / sizes[steps // 2 - 1]) ** (2.0 / steps))
    return found


def small(t, x, args):
    r"""Down by theta and up by psi of psi (1 - theta^2) - ridge psi^2 / 2.

    The data are at -1 and 1, a generator makes theta and -theta, and the discriminator is D(x) = psi x^2.
    """
    del t, args
    theta, psi = x
    return jnp.stack([2.0 * psi * theta, 1.0 - theta**2 - RIDGE * psi])


SADDLE, SOLUTION = (0.0, 1.0 / RIDGE), (1.0, 0.0)


def roots(eigenvalue, rate, beta, ahead):
    r"""Roots of $z^2 - (1 + \beta + \alpha\mu(1 + a))z + \beta + \alpha\mu a$, the larger one first."""
    both = np.roots([1.0, -(1.0 + beta + rate * eigenvalue * (1.0 + ahead)), beta + rate * eigenvalue * ahead])
    return both[np.argsort(-np.abs(both))]


def escape_predicted(name, rate, far_over_offset):
    """Steps from rest to far, by the roots at the saddle's unstable eigenvalue 2/ridge."""
    first = 1.0 + rate * 2.0 / RIDGE
    if name == "extragradient":
        return int(np.ceil(np.log(far_over_offset) / np.log(first + (first - 1.0) ** 2)))
    beta, ahead = {"descent-ascent": (0.0, 0.0), "momentum": (BETA, 0.0), "Nesterov": (BETA, BETA)}[name]
    grow, other = roots(2.0 / RIDGE, rate, beta, ahead)
    part = (first - other) / (grow - other)
    return int(np.ceil(np.log(far_over_offset / part) / np.log(grow)))


def leave(rate, offset=1e-8, far=1e-3):
    """Steps out of the saddle, predicted and run; the radius at the solution; how far from it they are in the end."""
    found = {}
    for name, method in methods(small, rate).items():
        steps = int(60.0 / rate)
        x = np.asarray(run_of(method, jnp.array([offset, SADDLE[1]]), steps, lambda s: s.position))
        away = np.abs(x[:, 0]) >= far
        late = np.hypot(np.abs(x[-steps // 10 :, 0]) - 1.0, x[-steps // 10 :, 1])
        found[name] = {
            "predicted": escape_predicted(name, rate, far / offset),
            "ran": int(np.argmax(away)) if away.any() else None,
            "radius": float(tw.analysis.spectral_radius(method, at=(0.0, jnp.array(SOLUTION)))),
            "left": float(np.nanmax(late)) if np.isfinite(late).all() else np.inf,
        }
    return found


def quantiles(count):
    """Middles of `count` parts of a standard normal, of equal mass."""
    return ndtri((np.arange(count) + 0.5) / count)


DATA = np.concatenate([-1.0 + 0.2 * quantiles(PARTICLES // 2), 1.0 + 0.2 * quantiles(PARTICLES // 2)])
NOISE = quantiles(PARTICLES)


def features(x):
    """Radial features of points (n,), one row a point."""
    return HEIGHT * jnp.exp(-0.5 * ((x[:, None] - CENTRES[None]) / WIDTH) ** 2)


def made(generator):
    """Particles that a generator makes of its noise, by one hidden layer."""
    hidden = jnp.tanh(generator["in"][None] * NOISE[:, None] + generator["bias"][None])
    return hidden @ generator["out"] + generator["shift"]


def network(t, x, args):
    """Down by the generator and up by the discriminator: mean D of the data less that of what is made, and a ridge."""
    del t, args

    def value(generator, psi):
        gap = jnp.mean(features(jnp.asarray(DATA)), axis=0) - jnp.mean(features(made(generator)), axis=0)
        return psi @ gap - 0.5 * COST * psi @ psi

    down = jax.grad(value)(x["generator"], x["discriminator"])
    up = jax.grad(value, argnums=1)(x["generator"], x["discriminator"])
    return {"generator": jax.tree.map(lambda g: -g, down), "discriminator": up}


def collapsed(key):
    """A saddle: the generator makes 0 alone, and the discriminator is the best there is against it."""
    one, two = jax.random.split(key)
    generator = {
        "in": jax.random.normal(one, (HIDDEN,)),
        "bias": jax.random.normal(two, (HIDDEN,)),
        "out": jnp.zeros(HIDDEN),
        "shift": jnp.zeros(()),
    }
    gap = jnp.mean(features(jnp.asarray(DATA)), axis=0) - features(jnp.zeros(1))[0]
    return {"generator": generator, "discriminator": gap / COST}


def beside(key, size=1e-6):
    """A start beside the saddle."""
    x = collapsed(key)
    leaves, tree = jax.tree.flatten(x)
    keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
    return jax.tree.unflatten(
        tree, [leaf + size * jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    )


def spread(x):
    """Root mean square of what is made: 0 at the saddle, about 1 at the solution."""
    return jnp.sqrt(jnp.mean(made(x["generator"]) ** 2))


def train(rate, seeds=8, steps=20_000, far=0.01):
    """Steps out of the saddle by its linearisation and by a run, and Wasserstein's distance of what is made at last."""
    keys, found = jax.random.split(jax.random.key(0), seeds), {}
    for name, method in methods(network, rate).items():
        ran, predicted, ends, settled = [], [], [], []

        @jax.jit
        def whole(start, method=method):
            def save(s):
                return spread(s.position), jnp.mean(jnp.abs(jnp.sort(made(s.position["generator"])) - DATA))

            return run_of(method, start, steps, save)

        for key in keys:
            start, saddle = beside(key), collapsed(key)
            away, distance = whole(start)
            ran.append(first(np.asarray(away) >= far))
            predicted.append(linear(method, saddle, start, steps, far))
            late = np.asarray(distance)[-steps // 5 :]
            ends.append(float(late.mean()))
            settled.append(float(late.std()))
        found[name] = {"ran": ran, "predicted": predicted, "distance": ends, "swing": settled}
    return found


def first(there):
    """The first step at which it is so, NaN if never."""
    return float(np.argmax(there)) if there.any() else np.nan


def linear(method, saddle, start, steps, far):
    """The step at which the linearised motion has gone so far."""
    matrix = tw.analysis.amplification(method, at=(0.0, saddle))
    flat, unravel = ravel_pytree(saddle)
    x = np.zeros(len(matrix))
    x[: flat.size] = ravel_pytree(start)[0] - flat
    size = jax.jit(lambda away: spread(unravel(flat + away)))
    for step in range(steps + 1):
        # The generator is linear in what is 0 at the saddle, but for products of two small numbers.
        if float(size(x[: flat.size])) >= far:
            return float(step)
        x = matrix @ x
    return np.nan


def shown(values, digits):
    """A mean and its standard error."""
    return f"{np.mean(values):8.{digits}f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}"


def main(steps=20_000, seeds=8):
    found = {"bilinear": bilinear()}
    print("f = xy, learning rate 0.1, momentum 0.5: growth a step")
    for name, (radius, growth) in found["bilinear"].items():
        print(f"  {name:32}{radius:12.6f} predicted{growth:12.6f} measured")
    for rate in (0.002, 0.02):
        found["small", rate] = leave(rate)
        print(f"two numbers, learning rate {rate:g}, momentum {BETA:g}: steps out of the saddle, and at the solution")
        for name, row in found["small", rate].items():
            print(f"  {name:16}{row['predicted']:>8} predicted{row['ran']:>8} ran, ", end="")
            print(f"radius {row['radius']:.5f}, at the end {row['left']:.2g} from the solution")
    for rate in (0.003, 0.03):
        found["network", rate] = train(rate, seeds, steps)
        print(f"network, learning rate {rate:g}, momentum {BETA:g}: {seeds} starts, standard errors of their means")
        for name, row in found["network", rate].items():
            print(f"  {name:16}{np.mean(row['predicted']):8.1f} predicted{shown(row['ran'], 1)} ran, ", end="")
            print(f"distance at last{shown(row['distance'], 3)}, its swing{shown(row['swing'], 4)}")
    return found


if __name__ == "__main__":
    main()
