"""The noise of gradients in large batches of a training on language: `python examples/large_batches.py`.

A hidden Markov chain of 6 states makes a language of 100 words, about as frequent as Zipf's law has them. A model of
1,300 parameters, an embedding and a softmax, guesses the next word. It can be exactly right, so that the best loss is
the entropy of the language, and the covariance of a sample's gradient is there the Hessian. Momentum and Nesterov's
method are trained on batches of 64 and of 4,096 pairs of words, with many seeds: the spread of the loss at the end
over the seeds, in trainings from the best parameters, beside what theory says there, and from random ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.special import log_softmax

import thalweg as tw
from thalweg.dynamics import AbstractObjective

WORDS, STATES = 100, 6
BATCHES = (64, 4096)
# Learning rate times the largest curvature at the best parameters, and momentum. The first five have one effective
# rate, learning rate / (1 - momentum), and the last two are near to where Nesterov's method becomes unstable.
SETTINGS = {
    "SGD": (tw.gradient_descent, 1.5, 0.0),
    "momentum 0.9": (tw.momentum, 0.15, 0.9),
    "Nesterov 0.9": (tw.nesterov, 0.15, 0.9),
    "momentum 0.99": (tw.momentum, 0.015, 0.99),
    "Nesterov 0.99": (tw.nesterov, 0.015, 0.99),
    "momentum 0.9, large steps": (tw.momentum, 1.0, 0.9),
    "Nesterov 0.9, large steps": (tw.nesterov, 1.0, 0.9),
}
PAIRS = [("momentum 0.9", "Nesterov 0.9"), ("momentum 0.99", "Nesterov 0.99"),
         ("momentum 0.9, large steps", "Nesterov 0.9, large steps")]  # fmt: skip


def language():
    """The probabilities of a word and the next one, (words, words), and the best parameters."""
    zipf, own = 1.0 / np.arange(1.0, WORDS + 1.0), np.arange(WORDS) % STATES
    emitted = zipf * np.where(own == np.arange(STATES)[:, None], 20.0, 1.0)
    emitted /= emitted.sum(axis=1, keepdims=True)
    turns = 0.9 * np.random.default_rng(0).dirichlet(np.full(STATES, 0.2), size=STATES) + 0.1 / STATES
    often = np.linalg.matrix_power(turns, 1000)[0]
    law = (emitted * often[:, None]).T @ turns @ emitted
    # What a word says of the next one it says by its class alone, so that the logarithms have the rank of the classes.
    table = np.log(law / law.sum(axis=1, keepdims=True) / zipf)[:STATES, :STATES]
    left, sizes, right = np.linalg.svd(table)
    best = {"inward": (left * np.sqrt(sizes))[own], "out": (np.sqrt(sizes)[:, None] * right)[:, own]}
    return law, best | {"bias": np.log(zipf)}


class NextWord(AbstractObjective):
    """The mean of -log p(next word | word), over the language or over a batch: how often each pair is in it."""

    law: Array
    upto: Array
    size: int

    def value(self, x, batch=None):
        logits = x["inward"] @ x["out"] + x["bias"][None]
        return -jnp.sum((self.law if batch is None else batch) * jax.nn.log_softmax(logits))

    @property
    def stochastic(self):
        return True

    def draw(self, key, step=None):
        chosen = jax.random.uniform(key if step is None else jax.random.fold_in(key, step), (self.size,))
        places = jnp.minimum(jnp.searchsorted(self.upto, chosen), self.law.size - 1)
        return jnp.zeros(self.law.size).at[places].add(1.0 / self.size).reshape(self.law.shape)


def random_start(seed):
    """Normal embeddings of variance one over their length."""
    draw = np.random.default_rng(seed)
    inward, out = draw.normal(size=(WORDS, STATES)), draw.normal(size=(STATES, WORDS))
    return {"inward": inward / STATES**0.5, "out": out / STATES**0.5, "bias": np.zeros(WORDS)}


def curvatures(law, best):
    """Eigenvalues of the Hessian at the best parameters, without those that are 0."""
    flat, tree = ravel_pytree(jax.tree.map(jnp.asarray, best))
    f = NextWord(jnp.asarray(law), jnp.zeros(1), 1)
    values = np.linalg.eigvalsh(np.asarray(jax.hessian(lambda x: f.value(tree(x)))(flat), float))
    return values[values > 1e-5 * values[-1]]


def predicted(make, rate, beta, spectrum, size, steps):
    """Mean and standard deviation of the loss above the best one after so many steps from there, to second order."""
    method = make(None, rate, beta) if beta else make(None, rate)
    energy = []
    for part in np.array_split(spectrum, len(spectrum) // 20 + 1):
        found = tw.analysis.transient_covariance(method, np.diag(part), steps, np.diag(part) / size, of="lookahead")
        energy.append(part * np.diag(found))
    energy = np.concatenate(energy)
    return 0.5 * energy.sum(), (0.5 * (energy**2).sum()) ** 0.5


def losses(make, rate, beta, law, starts, size, steps):
    """The loss above the best one at the end of trainings, (kinds of start, seeds), at the point a framework keeps."""
    f = NextWord(jnp.asarray(law, float), jnp.asarray(np.cumsum(law), float), size)
    method = make(f, rate, beta) if beta else make(f, rate)

    def trained(start, seed):
        return tw.solve(method, start, steps, jax.random.key(seed)).final.lookahead

    many = jax.jit(lambda starts, seeds: jax.lax.map(lambda run: trained(*run), (starts, seeds)))
    entropy, found = -np.sum(law * np.log(law / law.sum(axis=1, keepdims=True))), []
    for kind in starts:
        ends = many(jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), float), *kind), jnp.arange(len(kind)))
        ends = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), ends)
        scores = log_softmax(ends["inward"] @ ends["out"] + ends["bias"][:, None, :], axis=-1)
        found.append(-np.sum(law * scores, axis=(1, 2)) - entropy)
    return found


def spread(*samples):
    """Standard deviations over seeds, or the ratio of two of them, and its error by drawing seeds again."""
    again = np.random.default_rng(0).integers(len(samples[0]), size=(2000, len(samples[0])))
    one, *other = (np.append(np.std(s[again], axis=1, ddof=1), np.std(s, ddof=1)) for s in samples)
    value = other[0] / one if other else one
    return float(value[-1]), float(np.std(value[:-1]))


def main(steps=400, seeds=64, batches=BATCHES, settings=tuple(SETTINGS)):
    law, best = language()
    spectrum = curvatures(law, best)
    starts = [[best] * seeds, [random_start(seed) for seed in range(seeds)]]
    print(f"{len(spectrum)} curvatures, the largest {spectrum[-1]:.4g}; {steps} steps, {seeds} seeds")
    print(f"{'':36}{'from the best: mean':>22}{'theory':>9}{'deviation':>20}{'theory':>9}{'from random':>20}")
    table = {}
    for size in batches:
        for name in settings:
            make, product, beta = SETTINGS[name]
            rate = product / float(spectrum[-1])
            near, far = losses(make, rate, beta, law, starts, size, steps)
            row = {"near": near, "far": far, "theory": predicted(make, rate, beta, spectrum, size, steps)}
            table[size, name] = row
            mean, error = near.mean(), near.std(ddof=1) / seeds**0.5
            told = "".join(f"{value:10.3g} +- {off:<6.1g}" for value, off in (spread(near), spread(far)))
            print(f"batch {size:5}, {name:26}{mean:10.3g} +- {error:<8.1g}{row['theory'][0]:9.3g}{told[:20]}"
                  f"{row['theory'][1]:9.3g}{told[20:]}")  # fmt: skip
        for ball, ahead in PAIRS:
            if ball in settings and ahead in settings:
                rows = table[size, ball], table[size, ahead]
                near, far = (spread(*(row[where] for row in rows)) for where in ("near", "far"))
                theory = rows[1]["theory"][1] / rows[0]["theory"][1]
                print(f"batch {size:5}, deviation with {ahead} over {ball}: {near[0]:.3f} +- {near[1]:.3f} from the "
                      f"best (theory {theory:.3f}), {far[0]:.3f} +- {far[1]:.3f} from random")  # fmt: skip
    return table


if __name__ == "__main__":
    main()
