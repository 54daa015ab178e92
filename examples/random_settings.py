"""1,000 random settings of learning rate and momentum, trained with momentum and with Nesterov's method.

`python examples/random_settings.py`: a network on digits by mini-batches, the same ones for both, and how far the
accuracy of a setting on digits that it has not seen is below that of the best. Then a quadratic on the same digits and
the network itself, with the loss multiplied so that a part of the range is beyond the stability limit: which settings
fail, and which ones the limit says will.
"""

import os

os.environ["JAX_ENABLE_X64"] = "1"

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from thalweg.schemes import Draws

MAKERS = {"momentum": tw.momentum, "Nesterov": tw.nesterov}
RATES, BETAS = (0.01, 0.3), (0.9, 0.99)
HIDDEN, BATCH, SEEN = 16, 64, 1400
# What the loss is multiplied by, and so its curvature.
SCALES = {"network": (1.0, 20.0), "quadratic": (1.0, 4.0)}


def settings(count, seed=0):
    """Learning rates and momenta, evenly over the range of the article."""
    draw = np.random.default_rng(seed)
    return {"learning_rate": draw.uniform(*RATES, count), "momentum": draw.uniform(*BETAS, count)}


def digits():
    """Standardised pixels with a constant 1, and labels; those that are seen, and the others."""
    args = tw.problems.network_digits(HIDDEN).objective.args
    order = np.random.default_rng(1).permutation(args["features"].shape[1])
    features, labels = np.asarray(args["features"]).T[order], np.asarray(args["labels"]).T[order]
    cut = ({"features": features[part], "labels": labels[part]} for part in (slice(SEEN), slice(SEEN, None)))
    return tuple(jax.tree.map(jnp.asarray, part) for part in cut)


def scores(x, features):
    """Scores of the ten digits for one image, by a network with one hidden layer."""
    active = jnp.tanh(features @ x["hidden"]["weights"] + x["hidden"]["bias"])
    return active @ x["output"]["weights"] + x["output"]["bias"]


def entropy(x, sample):
    """The loss of a sample, with the ridge of the problem in the package."""
    score = scores(x, sample["features"])
    squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(x))
    return jax.nn.logsumexp(score) - jnp.vdot(sample["labels"], score) + 0.5e-4 * squares


@partial(jax.jit, static_argnames="maker")
def network(maker, scale, rates, betas, seen, start, rows):
    """Last parameters of all settings, side by side on the same mini-batches; these are read once for all of them."""
    objective = tw.FiniteSum(lambda x, sample: scale * entropy(x, sample), seen)
    states = jax.vmap(lambda rate, beta: MAKERS[maker](objective, rate, beta).init(start))(rates, betas)

    def step(states, batch):
        on = jax.vmap(lambda rate, beta, s: MAKERS[maker](objective, rate, beta).step(s, Draws(batch=batch)))
        return on(rates, betas, states), None

    return jax.lax.scan(step, states, rows)[0].position


def trained(maker, drawn, scale, steps, seed=0):
    """Accuracies on digits unseen and losses on those seen, one a setting."""
    seen, unseen = digits()
    rows = jnp.asarray(np.random.default_rng(seed).integers(SEEN, size=(steps, BATCH)))
    start = tw.problems.network_digits(HIDDEN).start
    x = network(maker, scale, *(jnp.asarray(value) for value in drawn.values()), seen, start, rows)
    every = jax.vmap(jax.vmap(scores, (None, 0)), (0, None))(x, unseen["features"])
    told = np.argmax(np.asarray(every), axis=-1)
    right = np.mean(told == np.argmax(np.asarray(unseen["labels"]), -1), axis=1)
    return right, np.asarray(jax.lax.map(tw.FiniteSum(entropy, seen).value, x))


def dropped(right):
    """The distance of each below the best."""
    return np.max(right, axis=-1, keepdims=True) - right


def bootstrapped(one, other, draws=2000):
    """The ratio of two mean drops over the same settings, and the deviation of it when the settings are drawn again."""
    draw = np.random.default_rng(0).integers(one.size, size=(draws, one.size))
    ratios = np.mean(dropped(one[draw]), axis=1) / np.mean(dropped(other[draw]), axis=1)
    return float(np.mean(dropped(one)) / np.mean(dropped(other))), float(np.std(ratios))


def least_squares(scale):
    """Half the squared error of a linear model that tells even digits from odd ones, and its largest curvature."""
    seen, _ = digits()
    z = jnp.concatenate([seen["features"], jnp.ones((SEEN, 1))], axis=1)
    sign = 1.0 - 2.0 * (jnp.argmax(seen["labels"], axis=1) % 2)
    gram, cross = scale * z.T @ z / SEEN, scale * z.T @ sign / SEEN
    f = tw.Objective(lambda w: 0.5 * jnp.vdot(w, gram @ w) - jnp.vdot(w, cross))
    return f, float(np.linalg.eigvalsh(gram)[-1])


def beyond(maker, rates, betas, curvature):
    """Settings whose learning rate is beyond the limit at this curvature, by the probe of the step at some momenta."""
    nodes = np.linspace(*BETAS, 7)
    limits = [tw.analysis.largest_stable_learning_rate(MAKERS[maker](None, 0.1, b), curvature) for b in nodes]
    return rates > np.polynomial.Polynomial.fit(nodes, limits, 4)(betas)


def quadratic(maker, drawn, scale, steps):
    """Settings that diverge on the quadratic, and those beyond the limit, as two masks."""
    f, curvature = least_squares(scale)
    make = lambda learning_rate, momentum: MAKERS[maker](f, learning_rate, momentum)  # noqa: E731
    grid = {tuple(drawn): list(zip(*drawn.values(), strict=True))}
    sweep = tw.sweep(make, grid, jnp.zeros(65), steps, keep="final", progress=False)
    # The quadratic is 0 at the start, and below it at the minimum.
    return ~(sweep.final_loss[:, 0] < 1.0), beyond(maker, *drawn.values(), curvature)


def main(count=1000, steps=300, seeds=2):
    drawn, found = settings(count), {}
    for scale in SCALES["network"]:
        print(f"network, the loss times {scale:g}, {steps} steps: points of accuracy below the best")
        runs = {maker: [trained(maker, drawn, scale, steps, seed) for seed in range(seeds)] for maker in MAKERS}
        start, (seen, _) = tw.problems.network_digits(HIDDEN).start, digits()
        curvature = scale * float(tw.analysis.largest_curvature(tw.FiniteSum(entropy, seen), start))
        for maker, ends in runs.items():
            right, losses = (np.array(part) for part in zip(*ends, strict=True))
            drops = 100.0 * dropped(right)
            out = beyond(maker, *drawn.values(), curvature)
            found["network", scale, maker] = {"accuracy": right, "loss": losses, "beyond": out, "curvature": curvature}
            quartiles = ", ".join(f"{q:.2f}" for q in np.quantile(drops, [0.25, 0.5, 0.75, 0.95]))
            print(
                f"  {maker:10} best {right.max():.3f}; drop: mean {drops.mean():.2f}, quartiles and 95 %: {quartiles}"
            )
            print(
                f"  {'':10} accuracy below one half: {np.mean(right < 0.5):.1%}; beyond the limit at the start's ",
                end="",
            )
            told = f", who drop {drops[:, out].mean():.2f}, the others {drops[:, ~out].mean():.2f}" if out.any() else ""
            print(f"curvature {out.mean():.1%}{told}")
        for part, (what, sign) in enumerate({"accuracy": 1.0, "loss": -1.0}.items()):
            both = [[sign * runs[maker][seed][part] for maker in ("Nesterov", "momentum")] for seed in range(seeds)]
            found["ratio", what, scale] = [bootstrapped(*pair) for pair in both]
            told = ", ".join(f"{ratio:.3f} ± {error:.3f}" for ratio, error in found["ratio", what, scale])
            print(f"  Nesterov over momentum, mean distance from the best {what}, by order of mini-batches: {told}")
    for scale in SCALES["quadratic"]:
        print(f"least squares, the loss times {scale:g}")
        for maker in MAKERS:
            lost, out = quadratic(maker, drawn, scale, 8 * steps)
            found["quadratic", scale, maker] = (lost, out)
            print(f"  {maker:10} {out.mean():.1%} beyond the limit, {lost.mean():.1%} diverge, ", end="")
            print(f"{np.sum(lost != out)} of {count} otherwise than the limit says")
    return found


if __name__ == "__main__":
    main()
