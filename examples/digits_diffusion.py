"""A diffusion model of handwritten digits, trained and sampled on two cores: `python examples/digits_diffusion.py`.

A small network learns the velocity from digits to noise (flow matching) in `tw.run`. Then samplers with the same budget
of evaluations follow it back: how far each ends from the flow itself, how far its digits are from digits that the
network has not seen, and how near to those it has. The exact score of the training digits, which a perfect training
would learn, gives back these digits and no others.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import thalweg as tw

NOISING = tw.networks.RectifiedFlow()
SEEN, WIDTH, BATCH = 1400, 192, 128


class Velocity(eqx.Module):
    """A network of (t, x): the time by its waves, and two hidden layers."""

    layers: eqx.nn.MLP

    def __init__(self, key):
        self.layers = eqx.nn.MLP(64 + 8, 64, WIDTH, 2, jax.nn.silu, key=key)

    def __call__(self, t, x):
        waves = jnp.pi * t * 2.0 ** jnp.arange(4)
        return self.layers(jnp.concatenate([x, jnp.sin(waves), jnp.cos(waves)]).astype(x.dtype))


def digits():
    """Those that are seen, and others: arrays (n, 64) between -1 and 1."""
    images = np.random.default_rng(0).permutation(load_digits().data) / 8.0 - 1.0
    return jnp.asarray(images[:SEEN], float), jnp.asarray(images[SEEN:], float)


def trained(seen, steps, out=None):
    """A run of AdamW on the flow-matching loss."""
    loss = tw.networks.denoising_loss(NOISING, tw.networks.Velocity)
    objective = tw.FiniteSum(loss, seen, BATCH, replace=False, epochs=True, keyed=True)
    rate = lambda k: 2e-3 * jnp.minimum(1.0, (k + 1) / 100.0) * jnp.cos(0.5 * jnp.pi * k / steps) ** 2  # noqa: E731
    method = tw.adamw(objective, rate, weight_decay=0.0)
    return tw.run(method, Velocity(jax.random.key(0)), steps, key=1, record=None, out=out, progress=False)


def samplers(flow):
    """Methods of some 20 evaluations, and the flow itself."""
    budget = {"DDIM, Euler's method": (tw.DDIM(), 20), "Heun": (tw.Heun(), 10)}
    budget |= {"DPM-Solver++(2M)": (tw.ExponentialMultistep(), 20), "RK4": (tw.RK4(), 5)}
    found = {}
    for name, (scheme, steps) in budget.items():
        found[name] = tw.Method(flow, scheme, times=tw.networks.time_grid(NOISING, steps, "time", end=0.0))
    return found | {"the flow": tw.Method(flow, tw.RK4(), times=tw.networks.time_grid(NOISING, 400, "time", end=0.0))}


def drawn(method, starts):
    """The ends of the starts."""
    return jax.jit(jax.vmap(lambda x: tw.solve(method, x).final.position))(starts)


def nearest(points, others):
    """Mean root mean square distance per pixel to the nearest of the others."""
    squares = jnp.min(jnp.mean((points[:, None] - others[None]) ** 2, axis=-1), axis=1)
    return float(jnp.mean(jnp.sqrt(squares)))


def main(steps=6000, count=397):
    seen, unseen = digits()
    run = trained(seen, steps)
    flow = tw.ProbabilityFlow(NOISING, tw.networks.Velocity(run.final.position))
    starts = NOISING.prior(jax.random.key(2), jnp.zeros((count, 64)))
    ends = {name: drawn(method, starts) for name, method in samplers(flow).items()}
    learnt = tw.networks.DataSet(seen)
    times = tw.networks.time_grid(NOISING, 40, "time", end=0.0)
    exact = tw.ProbabilityFlow(NOISING, learnt.denoiser(NOISING))
    ends["the exact score of the digits seen"] = drawn(tw.Method(exact, tw.DDIM(), times=times), starts)
    ends |= {"noise": starts, "other digits": seen[:count]}
    distance = tw.measures.MMD(unseen, tw.measures.EnergyKernel())
    table = {}
    for name, end in ends.items():
        table[name] = {
            "from the flow": float(jnp.sqrt(jnp.mean((end - ends["the flow"]) ** 2))),
            "from digits unseen": float(distance.value(tw.measures.Particles(end))),
            "to the nearest seen": nearest(end, seen),
        }
    print(f"{'':38}{'from the flow':>16}{'from unseen':>14}{'nearest seen':>14}")
    for name, row in table.items():
        print(
            f"{name:38}{row['from the flow']:16.4f}{row['from digits unseen']:14.4f}{row['to the nearest seen']:14.3f}"
        )
    print(f"unseen digits, to the nearest seen: {nearest(unseen, seen):.3f}")
    return {"table": table, "run": run, "ends": ends, "unseen": nearest(unseen, seen)}


if __name__ == "__main__":
    main()
