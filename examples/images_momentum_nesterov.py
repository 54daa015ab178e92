"""Momentum against Nesterov's method on images, tuned alike: `python examples/images_momentum_nesterov.py`.

Three networks learn the digits of scikit-learn: a shallow one, a residual one of 12 blocks and a convolutional one.
Both methods get the same random settings and the same seeds. A rule takes the best setting of each by images that are
kept aside: the fewest gradients to an accuracy, or the smallest loss at the end. New trainings with that setting are
judged by the same figure on images that nothing has seen. All of it is done several times, each with settings of its
own, since another draw of settings finds another best one: errors are over these tunings. Plain SGD gets the effective
rates, learning rate / (1 - momentum). Last, both methods with a learning rate and momentum that nobody has tuned.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import thalweg as tw

SEEN, ASIDE, BATCH, AT_ONCE = 997, 400, 32, 8
EVERY = 10  # gradients between two looks at the accuracy
TARGET = 0.95
USUAL = (0.1, 0.9)  # a learning rate and momentum that many take without tuning
RULES = ("gradients", "loss")
PATCHES = np.array([[8 * (row + i) + column + j for i in range(3) for j in range(3)]
                    for row in range(6) for column in range(6)])  # fmt: skip
METHODS = {
    "SGD": lambda f, rate, beta: tw.gradient_descent(f, rate / (1.0 - beta)),
    "momentum": tw.momentum,
    "Nesterov": tw.nesterov,
}


class Residual(eqx.Module):
    """Twelve blocks of one layer each, 16 wide, at steps of 1/4 in depth."""

    inward: eqx.nn.Linear
    blocks: tw.networks.Network
    out: eqx.nn.Linear

    def __init__(self, key):
        first, middle, last = jax.random.split(key, 3)
        block = lambda key: eqx.nn.MLP(16, 16, 16, 0, final_activation=jnp.tanh, key=key)  # noqa: E731
        self.inward, self.out = eqx.nn.Linear(64, 16, key=first), eqx.nn.Linear(16, 10, key=last)
        self.blocks = tw.networks.residual(block, depth=12, step=0.25, key=middle)

    def __call__(self, image):
        return self.out(self.blocks(self.inward(image)))


class Convolutional(eqx.Module):
    """Eight filters of 3 by 3, means over squares of 2 by 2, and a hidden layer."""

    filters: eqx.nn.Linear
    out: eqx.nn.MLP

    def __init__(self, key):
        first, last = jax.random.split(key)
        self.filters, self.out = eqx.nn.Linear(9, 8, key=first), eqx.nn.MLP(72, 10, 32, 1, jnp.tanh, key=last)

    def __call__(self, image):
        found = jnp.tanh(jax.vmap(self.filters)(image[PATCHES]))
        return self.out(jnp.mean(found.reshape(3, 2, 3, 2, 8), axis=(1, 3)).ravel())


NETWORKS = {
    "shallow": lambda key: eqx.nn.MLP(64, 10, 32, 1, jnp.tanh, key=key),
    "residual": Residual,
    "convolutional": Convolutional,
}


def images():
    """Those to learn from, those kept aside to choose by, those to judge by: pairs of images and labels."""
    pictures, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    pictures, labels = ((pictures - pictures.mean()) / pictures.std())[order], labels[order]
    cuts = np.split(np.arange(len(labels)), [SEEN, SEEN + ASIDE])
    return [(jnp.asarray(pictures[cut], float), jnp.asarray(labels[cut])) for cut in cuts]


def trainer(network, steps):
    """A function of a method, of rates, momenta and seeds, and of what judges: gradients to the target, last losses."""
    seen, *others = images()
    static = eqx.filter(NETWORKS[network](jax.random.key(0)), eqx.is_inexact_array, inverse=True)
    score = lambda x, image: jax.nn.log_softmax(eqx.combine(x, static)(image))  # noqa: E731
    objective = tw.FiniteSum(lambda x, s: -score(x, s[0])[s[1]], seen, BATCH, replace=False, epochs=True)
    looks = np.arange(0, steps + 1, EVERY)

    @functools.partial(jax.jit, static_argnums=0)
    def trained(method, rates, betas, seeds, judges):
        pictures, labels = judges

        def look(state):
            # Frameworks keep the point where the gradient is taken, which is Nesterov's look-ahead.
            scores = jax.vmap(score, (None, 0))(state.lookahead, pictures)
            return -jnp.mean(scores[jnp.arange(len(labels)), labels]), jnp.mean(scores.argmax(axis=1) == labels)

        def one(rate, beta, seed):
            start, drawn = jax.random.split(jax.random.key(seed.astype(int)))
            start = eqx.filter(NETWORKS[network](start), eqx.is_inexact_array)
            return tw.solve(METHODS[method](objective, rate, beta), start, steps, drawn, look, at=looks).saved

        return jax.vmap(one)(rates, betas, seeds)

    def figures(method, runs, judges):
        # So many at a time that one program serves all calls.
        parts = [trained(method, *np.resize(runs[i : i + AT_ONCE], (AT_ONCE, 3)).T, others[judges])
                 for i in range(0, len(runs), AT_ONCE)]  # fmt: skip
        losses, accuracies = (np.concatenate(part)[: len(runs)].astype(float) for part in zip(*parts, strict=True))
        reached = accuracies >= TARGET
        first = np.where(reached.any(axis=1), looks[reached.argmax(axis=1)], steps + EVERY)
        # One that diverged is worth no more than guesses.
        last = np.fmin(losses[:, -1], np.log(10.0))
        return {"gradients": first.astype(float), "loss": last}

    return figures


def drawn(tuning, count):
    """Random settings (count, 2): the same for every method and every network."""
    draw = np.random.default_rng(tuning)
    even = lambda low, high: np.exp(draw.uniform(np.log(low), np.log(high), count))  # noqa: E731
    return np.stack([even(0.005, 1.0), 1.0 - even(0.02, 0.5)], axis=1)


def mean(values):
    """A mean and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


def contest(network, tunings, settings, steps, seeds):
    """What new trainings make of the best settings of every method, (tunings, seeds), and of the usual one."""
    train = trainer(network, steps)
    chosen, found, share = {}, {}, {}

    def again(method, which, first, count, judges):
        """Figures (settings, seeds) of some settings."""
        runs = np.array([(*setting, first + seed) for setting in which for seed in range(count)])
        return {rule: values.reshape(len(which), count) for rule, values in train(method, runs, judges).items()}

    for method in METHODS:
        reached = []
        for tuning in range(tunings):
            every = drawn(tuning, settings)
            figures = again(method, every, tuning, 1, 0)
            reached.append(np.mean(figures["gradients"] <= steps))
            for rule in RULES:
                # One lucky training is no good setting: the best four are tried again, four times each.
                few = every[np.argsort(figures[rule][:, 0], kind="stable")[:4]]
                best = few[np.argmin(again(method, few, 100 + 4 * tuning, 4, 0)[rule].mean(axis=1))]
                chosen.setdefault((method, rule), []).append(tuple(best.tolist()))
                new = again(method, [best], 1000 + seeds * tuning, seeds, 1)[rule][0]
                found[method, rule] = np.vstack([*found.get((method, rule), []), new])
        share[method] = float(np.mean(reached))
    for method in ("momentum", "Nesterov"):
        untuned = again(method, [USUAL], 2000, tunings * seeds, 1)
        found |= {(method, f"{rule}, untuned"): untuned[rule].T for rule in RULES}
    return {"chosen": chosen, "found": found, "share": share}


def told(network, result):
    """Print the figures of a network: means over tunings, or over seeds where nothing is tuned."""
    found = result["found"]
    for rule in [*RULES, *(f"{rule}, untuned" for rule in RULES)]:
        print(f"{network}, {rule}:")
        means = {method: found[method, rule].mean(axis=1) for method in METHODS if (method, rule) in found}
        for method, values in means.items():
            rates = sorted(rate / (1.0 - beta) for rate, beta in result["chosen"].get((method, rule), [USUAL]))
            middle, error = mean(values)
            print(
                f"    {method:12}{middle:8.4g} +- {error:<8.2g} effective rates {', '.join(f'{r:.2g}' for r in rates)}"
            )
        ball, ahead = means["momentum"], means["Nesterov"]
        # Of tunings the mean of their ratios; of seeds the ratio of their means, with the same starts and batches.
        ratio = np.mean(ahead / ball) if "untuned" not in rule else ahead.mean() / ball.mean()
        each = ahead / ball if "untuned" not in rule else (ahead - ratio * ball) / ball.mean()
        print(f"    {'apart':12}{ratio - 1.0:+8.1%} +- {mean(each)[1]:.1%}")
    print(f"{network}, share that reaches it:", {name: round(share, 3) for name, share in result["share"].items()})


def main(tunings=5, settings=16, steps=200, seeds=8, networks=tuple(NETWORKS)):
    print(f"gradients to {TARGET:.0%}, loss after {steps}; {tunings} tunings by {settings} settings each")
    results = {}
    for network in networks:
        results[network] = contest(network, tunings, settings, steps, seeds)
        told(network, results[network])
    return results


if __name__ == "__main__":
    main()
