"""A burst of one item in a training of embeddings, of which a mini-batch touches few."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.aliases import momentum, nesterov
from .._methods.method import Method
from .._objectives.finite_sum import FiniteSum
from .._objectives.objective import Objective
from ..schemes import Draws
from ._experiment import close, path, shown
from ._ledger import Correction, Outcome, claim

USERS, ITEMS, SIZE, BATCH, NOISE = 60, 120, 4, 64, 0.3
BURST, TAIL, SHARE = 90, (*range(60, 90), *range(91, 120)), 0.25
RATE, BETA, BEFORE, LENGTHS, SEEDS = 1.0, 0.9, 600, (3, 10), 8
Embeddings = dict[str, Any]
MAKERS: dict[str, Callable[..., Method]] = {"momentum": momentum, "Nesterov": nesterov}


def _drawn(seed: int, length: int) -> tuple[np.ndarray, Embeddings, np.ndarray, np.ndarray]:
    """Ratings, embeddings to start from, and samples' places in the ratings, with a burst at the end and without."""
    draw = np.random.default_rng(seed)
    users, items = (draw.normal(size=(count, SIZE)) / SIZE**0.25 for count in (USERS, ITEMS))
    ratings = users @ items.T + NOISE * draw.normal(size=(USERS, ITEMS))
    start = {"users": 0.3 * draw.normal(size=(USERS, SIZE)), "items": 0.3 * draw.normal(size=(ITEMS, SIZE))}
    chances = 1.0 / np.arange(1, ITEMS + 1)
    chances[BURST] = 0.0
    user = draw.integers(USERS, size=(BEFORE + length, BATCH))
    item = draw.choice(ITEMS, size=user.shape, p=chances / chances.sum())
    calm = user * ITEMS + item
    item[BEFORE:, : int(SHARE * BATCH)] = BURST
    return ratings, start, user * ITEMS + item, calm


@functools.partial(jax.jit, static_argnames="make")
def _trained(make: Callable[..., Method], ratings: Any, start: Embeddings, rows: Any) -> list[Any]:
    """The states before the burst and after it."""
    user, item = jnp.divmod(jnp.arange(USERS * ITEMS), ITEMS)

    def loss(x: Embeddings, sample: Any) -> Any:
        predicted = jnp.vdot(x["users"][sample["user"]], x["items"][sample["item"]])
        return 0.5 * (predicted - sample["rating"]) ** 2

    f = FiniteSum(loss, {"user": user, "item": item, "rating": ratings.ravel()})
    method = make(f, RATE, BETA)

    def on(state: Any, part: Any) -> Any:
        return jax.lax.scan(lambda s, batch: (method.step(s, Draws(batch=batch)), None), state, part)[0]

    before = on(method.init(start), rows[:BEFORE])
    return [before, on(before, rows[BEFORE:])]


def _by_hand(ahead: float, ratings: np.ndarray, start: Embeddings, rows: np.ndarray) -> list[dict[str, Embeddings]]:
    """The same by loops in NumPy."""
    x = {name: value.copy() for name, value in start.items()}
    v = {name: np.zeros_like(value) for name, value in start.items()}
    kept = []
    for step, batch in enumerate(rows):
        if step == BEFORE:
            kept.append({"position": dict(x), "lookahead": {name: x[name] + ahead * v[name] for name in x}})
        user, item = np.divmod(batch, ITEMS)
        users, items = (x[name] + ahead * v[name] for name in ("users", "items"))
        gap = ((users[user] * items[item]).sum(axis=1) - ratings[user, item])[:, None] / BATCH
        slopes = {name: np.zeros_like(value) for name, value in x.items()}
        np.add.at(slopes["users"], user, gap * items[item])
        np.add.at(slopes["items"], item, gap * users[user])
        v = {name: BETA * v[name] - RATE * slopes[name] for name in x}
        x = {name: x[name] + v[name] for name in x}
    return [*kept, {"position": x, "lookahead": {name: x[name] + ahead * v[name] for name in x}}]


def _apart(one: Embeddings, other: Embeddings, items: Any) -> float:
    gaps = np.asarray(one["items"])[items] - np.asarray(other["items"])[items]
    return float(np.sqrt(np.mean(np.sum(np.atleast_2d(gaps) ** 2, axis=1))))


@functools.cache
def _numbers(
    makers: tuple[Callable[..., Method], ...], length: int, tail: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Ways made, (method, number, seed), by hand and by the methods: of the new item, its stored point, the tail."""
    both: tuple[list[Any], list[Any]] = ([], [])
    for seed in range(SEEDS):
        ratings, start, rows, calm = _drawn(seed, length)
        parts: tuple[list[Any], list[Any]] = ([], [])
        for make, ahead in zip(makers, (0.0, BETA), strict=True):
            for way, found in enumerate(parts):
                if way:
                    ends = [
                        [{"position": s.position, "lookahead": s.lookahead} for s in _trained(make, ratings, start, r)]
                        for r in (rows, calm)
                    ]
                else:
                    ends = [_by_hand(ahead, ratings, start, r) for r in (rows, calm)]
                (before, after), (_, twin) = ends
                found.append([
                    _apart(after["position"], before["position"], BURST),
                    _apart(after["lookahead"], before["lookahead"], BURST),
                    _apart(after["position"], twin["position"], list(tail)),
                ])  # fmt: skip
        for held, found in zip(both, parts, strict=True):
            held.append(found)
    expected, measured = (np.moveaxis(np.array(held), 0, -1) for held in both)
    return expected, measured


def _flat(makers: tuple[Callable[..., Method], ...], steps: int) -> list[float]:
    """The ratio of both points where the gradient is the same everywhere."""
    ball, ahead = (path(make(Objective(jnp.sum), 0.01, BETA), [0.0], steps) for make in makers)
    return [float(points[-1, 0] / ball.position[-1, 0]) for points in (ahead.position, ahead.lookahead)]


def _mean(values: np.ndarray) -> list[float]:
    return [float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(values.size))]


@claim(
    "nesterov-follows-bursts-further",
    "003.56",
    "While an item has a burst Nesterov's method updates its embedding by 40 % more than momentum.",
)
def further() -> Outcome:
    r"""60 users, 120 items by Zipf's law, a new one in a quarter of all samples for some steps; eight seeds.

    Where the gradient stays the same, the iterate is momentum's, and the stored point ahead of it by
    $\beta s(1-\beta)/(n - \beta s)$, with $s = (1-\beta^n)/(1-\beta)$. Expected of the trainings are loops in NumPy.
    """
    makers, expected, measured, words = tuple(MAKERS.values()), [], [], []
    for length in LENGTHS:
        s = (1.0 - BETA**length) / (1.0 - BETA)
        expected += [1.0, 1.0 + BETA * s * (1.0 - BETA) / (length - BETA * s)]
        measured += _flat(makers, length)
        for figures, of in zip((expected, measured), _numbers(makers, length, TAIL), strict=True):
            figures += [*_mean(of[1, 0] / of[0, 0]), *_mean(of[1, 1] / of[0, 1])]
        words.append(
            f"{length} steps: iterate {{:.3f}}, stored {{:.3f}} of momentum's at a constant gradient, "
            "{:.3f} ± {:.3f} and {:.3f} ± {:.3f} in the training"
        )
    iterates, stored = measured[2::6], measured[4::6]
    return Outcome(
        *shown("; ".join(words), expected, measured),
        holds=min(iterates) > 1.3,
        correction=Correction(
            "Its iterate is updated as much where the gradient stays, and less in a training, where the look-ahead "
            f"sees that the gradient falls: by {1.0 - iterates[0]:.0%} in {LENGTHS[0]} steps, "
            f"{1.0 - iterates[1]:.0%} in {LENGTHS[1]}. The point that frameworks store is ahead for some "
            f"steps: {stored[0] - 1.0:+.0%} after {LENGTHS[0]}, {stored[1] - 1.0:+.0%} after {LENGTHS[1]}.",
            holds=close(measured, expected, 1e-6) and max(iterates) < 1.0 < stored[0],
            amends=False,
        ),
    )


@claim(
    "nesterov-keeps-the-tail",
    "003.57",
    "In a burst of one item Nesterov's method keeps the embeddings of long-tail items stable.",
)
def stable() -> Outcome:
    """Distance that the burst moves the rarer half of the items, against the same batches without it.

    Of the way that the new item makes, and of momentum's; the trainings that are expected are loops in NumPy.
    """
    expected, measured = [], []
    for length in LENGTHS:
        for figures, of in zip((expected, measured), _numbers(tuple(MAKERS.values()), length, TAIL), strict=True):
            figures += [*_mean(of[1, 2] / of[1, 0]), *_mean(of[1, 2] / of[0, 2])]
    words = "; ".join(
        f"{length} steps: the tail moves {{:.4f}} ± {{:.4f}} of what the new item moves, {{:.3f}} ± {{:.3f}} of what "
        "momentum moves it"
        for length in LENGTHS
    )
    ratios, shares = measured[2::4], measured[0::4]
    return Outcome(
        *shown(words, expected, measured),
        holds=max(shares) < 0.05 and max(ratios) < 0.9,
        correction=Correction(
            f"So does momentum: through the users, of whom alone rare items hear, they move at most {max(shares):.1%} "
            f"of what the new item moves ({ratios[0]:.3f} and {ratios[1]:.3f} times what momentum moves them).",
            holds=close(measured, expected, 1e-6) and max(shares) < 0.05 and float(np.ptp([*ratios, 1.0])) < 0.1,
        ),
    )
