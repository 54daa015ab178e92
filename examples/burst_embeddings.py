"""A new item in every fourth sample for some steps: `python examples/burst_embeddings.py`.

Users and items with embeddings, of which a mini-batch touches few: what a burst of one item does to its own embedding,
to those of the rare items, and to the errors of both, with momentum and with Nesterov's method at the same numbers and
each at its best learning rate. Then the same where rows without a gradient stay, as sparse optimizers have it.
"""

import os

os.environ["JAX_ENABLE_X64"] = "1"

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from thalweg.schemes import Draws

USERS, ITEMS, SIZE, BATCH, NOISE = 200, 400, 6, 128, 0.3
BETA, RATE, RATES = 0.9, 1.0, (0.5, 0.7, 1.0, 1.4, 2.0)
# The new item that has the burst, those that are rare, the part of the batch that the burst takes.
BURST, TAIL, SHARE = 300, np.r_[200:300, 301:400], 0.25
MAKERS = {"momentum": tw.momentum, "Nesterov": tw.nesterov}


def world(seed):
    """Opinions of users on items: a matrix of rank `SIZE` and of variance 1, and ratings that are it with noise."""
    draw = np.random.default_rng(seed)
    users, items = (draw.normal(size=(count, SIZE)) / SIZE**0.25 for count in (USERS, ITEMS))
    truth = users @ items.T
    return truth, truth + NOISE * draw.normal(size=truth.shape)


def start(seed):
    """Small embeddings."""
    draw = np.random.default_rng(10_000 + seed)
    return {"users": 0.3 * draw.normal(size=(USERS, SIZE)), "items": 0.3 * draw.normal(size=(ITEMS, SIZE))}


def batches(seed, steps, burst=0, first=0):
    """Places in the matrix of ratings: items by Zipf's law, and for the first `burst` steps a share for the new one.

    But for its burst nobody sees it. Without the burst a batch is the same but for this share.
    """
    draw = np.random.default_rng(20_000 + 1000 * first + seed)
    chances = 1.0 / np.arange(1, ITEMS + 1)
    chances[BURST] = 0.0
    users = draw.integers(USERS, size=(steps, BATCH))
    items = draw.choice(ITEMS, size=(steps, BATCH), p=chances / chances.sum())
    items[:burst, : int(SHARE * BATCH)] = BURST
    return users * ITEMS + items


def objective(ratings):
    """Half the squared error of a rating."""
    users, items = np.divmod(np.arange(USERS * ITEMS), ITEMS)
    data = {"user": jnp.asarray(users), "item": jnp.asarray(items), "rating": jnp.asarray(ratings).ravel()}

    def loss(x, sample):
        predicted = jnp.vdot(x["users"][sample["user"]], x["items"][sample["item"]])
        return 0.5 * (predicted - sample["rating"]) ** 2

    return tw.FiniteSum(loss, data)


@partial(jax.jit, static_argnames="maker")
def train(maker, rate, ratings, state, rows):
    """Go on from a state, or from the start of a method at some parameters, over rows (steps, batch)."""
    method = MAKERS[maker](objective(ratings), rate, BETA)
    state = method.init(state) if isinstance(state, dict) else state
    return jax.lax.scan(lambda s, batch: (method.step(s, Draws(batch=batch)), None), state, rows)[0]


@partial(jax.jit, static_argnames="maker")
def lazily(maker, rate, ratings, state, rows):
    """The same, but that rows of the embeddings without a gradient stay, and their velocities as well."""
    f = objective(ratings)
    x, v = (state, jax.tree.map(jnp.zeros_like, state)) if isinstance(state, dict) else state

    def step(carry, batch):
        x, v = carry
        ahead = BETA if maker == "Nesterov" else 0.0
        users, items = jnp.divmod(batch, ITEMS)
        seen = {
            "users": jnp.zeros((USERS, 1)).at[users].set(1.0),
            "items": jnp.zeros((ITEMS, 1)).at[items].set(1.0),
        }
        slope = f.gradient(jax.tree.map(lambda x, v: x + ahead * v, x, v), batch)
        v = jax.tree.map(lambda v, g, on: jnp.where(on > 0, BETA * v - rate * g, v), v, slope, seen)
        return (jax.tree.map(lambda x, v, on: x + on * v, x, v, seen), v), None

    return jax.lax.scan(step, (x, v), rows)[0]


def points(state):
    """The iterate and the point where the next gradient is taken, which is what frameworks store."""
    return (state[0], state[0]) if isinstance(state, tuple) else (state.position, state.lookahead)


def error(x, truth, items):
    """Root mean square error over all users of some items."""
    return jnp.sqrt(jnp.mean((x["users"] @ x["items"][items].T - truth[:, items]) ** 2))


def moved(there, here, items):
    """Root mean square distance by which some items' embeddings have moved."""
    return jnp.sqrt(jnp.mean(jnp.sum((there["items"][items] - here["items"][items]) ** 2, axis=-1)))


def predicted(maker, rate, state, ratings, steps):
    """The displacement of the burst's embedding if users stay as they are: a quadratic, from rest."""
    users, item = state.position["users"], state.position["items"][BURST]
    hessian = SHARE * users.T @ users / USERS
    target = jnp.linalg.solve(hessian, SHARE * users.T @ ratings[:, BURST] / USERS)
    f = tw.Objective(lambda e: 0.5 * (e - target) @ hessian @ (e - target))
    method = MAKERS[maker](f, rate, BETA)
    state = jax.lax.fori_loop(0, steps, lambda _, s: method.step(s), method.init(item))
    return [jnp.linalg.norm(point - item) for point in (state.position, state.lookahead)]


@eqx.filter_jit
def one(maker, rate, truth, ratings, x0, warm, burst, calm, after, length, go=train):
    """All numbers of a seed: during the burst, at its end, and after it, against the same batches without it."""
    before = go(maker, rate, ratings, x0, warm)
    end, twin = go(maker, rate, ratings, before, burst), go(maker, rate, ratings, before, calm)
    late, late_twin = go(maker, rate, ratings, end, after), go(maker, rate, ratings, twin, after)
    (here, here_ahead), (there, ahead), (same, _) = points(before), points(end), points(twin)
    (last, _), (last_same, _) = points(late), points(late_twin)
    found = {
        "moved": moved(there, here, jnp.array([BURST])),
        "stored": moved(ahead, here_ahead, jnp.array([BURST])),
        "moved after": moved(last, there, jnp.array([BURST])),
        "tail moved": moved(there, same, TAIL),
        "error before": error(here, truth, jnp.array([BURST])),
        "error": error(there, truth, jnp.array([BURST])),
        "error after": error(last, truth, jnp.array([BURST])),
        "tail error": error(there, truth, TAIL) - error(same, truth, TAIL),
        "tail error after": error(last, truth, TAIL) - error(last_same, truth, TAIL),
        "all": jnp.sqrt(jnp.mean((here["users"] @ here["items"].T - truth) ** 2)),
    }
    if go is train:
        # Without a gradient the velocity shrinks by the momentum a step, and all of it is gone in the end.
        step = jnp.linalg.norm(end.velocity["items"][BURST]) * MAKERS[maker](None, rate, BETA).step_size
        found["predicted after"] = step * BETA / (1.0 - BETA)
        found["predicted"], found["predicted stored"] = predicted(maker, rate, before, ratings, length)
    return found


def measure(maker, rate, length, seeds, steps, go=train):
    """The numbers of every seed, by name."""
    rows = [[] for _ in range(7)]
    for seed in range(seeds):
        truth, ratings = world(seed)
        parts = (batches(seed, steps), batches(seed, length, length, 1), batches(seed, length, 0, 1))
        for held, part in zip(rows, (truth, ratings, start(seed), *parts, batches(seed, 100, 0, 2)), strict=True):
            held.append(part)
    stacked = [jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *held) for held in rows]
    rate = jnp.asarray(rate)
    found = jax.vmap(lambda *parts: one(maker, rate, *parts, length, go))(*stacked)
    return {name: np.asarray(value) for name, value in found.items()}


def shown(values, digits=3):
    """A mean and its standard error."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}"


def ratio(found, what):
    """Nesterov's number over momentum's, seed by seed."""
    return shown(found["Nesterov"][what] / found["momentum"][what])


def lines(found):
    """A line a method: what moves, and the errors."""
    for maker, row in found.items():
        print(f"  {maker:10}" + "".join(f"{name} {shown(row[name])}, " for name in PRINTED)[:-2])


PRINTED = ("moved", "stored", "moved after", "error", "error after", "tail moved", "tail error")


def main(seeds=8, steps=2000, lengths=(3, 10, 30), rates=RATES):
    found = {}
    for length in lengths:
        dense = {maker: measure(maker, RATE, length, seeds, steps) for maker in MAKERS}
        found["dense", length] = dense
        print(f"a burst of {length} steps, learning rate {RATE:g}")
        lines(dense)
        print(
            f"  Nesterov over momentum: moved {ratio(dense, 'moved')}, predicted {ratio(dense, 'predicted')}; ", end=""
        )
        print(f"stored {ratio(dense, 'stored')}, predicted {ratio(dense, 'predicted stored')}; ", end="")
        print(f"tail moved {ratio(dense, 'tail moved')}")
    length = lengths[len(lengths) // 2]
    lazy = {maker: measure(maker, RATE, length, seeds, steps, lazily) for maker in MAKERS}
    found["lazy", length] = lazy
    print(f"rows without a gradient stay: a burst of {length} steps, learning rate {RATE:g}")
    lines(lazy)
    tuned = {}
    for maker in MAKERS:
        tried = {rate: measure(maker, rate, length, seeds, steps) for rate in rates}
        best = min(tried, key=lambda rate: np.nan_to_num(tried[rate]["all"], nan=np.inf).mean())
        tuned[maker] = tried[best] | {"rate": best}
    found["tuned", length] = tuned
    print(f"each at its best of {rates}: " + ", ".join(f"{name} {row['rate']:g}" for name, row in tuned.items()))
    lines(tuned)
    return found


if __name__ == "__main__":
    main()
