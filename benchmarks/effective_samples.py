"""How many gradients does an effective sample take, beside BlackJAX's NUTS and MCLMC?

Gradients of the worst parameter's effective sample (ArviZ's, of the draws in bulk), after a warmup that is not counted.
Ours moves without a mass matrix, as does MCLMC here; NUTS adapts one. Ours is BAOAB at the step that `tw.sample`
chooses, with the friction 1/s of the largest standard deviation s in a first set of draws. No bound: this tells
how it is.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import arviz_stats
import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax.flatten_util import ravel_pytree

import thalweg as tw
from benchmarks._harness import Result

TARGETS = (
    "gaussian",
    "banana",
    "gaussian-mixture",
    "double-well",
    "eight-schools",
    "logistic-posterior",
    "gaussian-1e4",
)
CHAINS = 4


def results() -> Iterator[Result]:
    for name in TARGETS:
        problem = tw.problems.get(name)
        temperature = 1.0 if problem.moments is None else problem.moments.temperature
        start, cut = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, float), problem.start))

        def potential(
            x: jax.Array, problem: Any = problem, cut: Any = cut, temperature: float = temperature
        ) -> jax.Array:
            return problem.objective.value(cut(x)) / temperature

        ours = gradients_of_ours(potential, start)
        for peer, measure in (("NUTS", gradients_of_nuts), ("MCLMC", gradients_of_mclmc)):
            found = measure(potential, start)
            yield Result(f"{name}, d = {start.size}, {peer}", ours, found, float("inf"), 1, 0.0, "gradients")


def gradients_of_ours(potential: Any, start: jax.Array) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tw.SamplingWarning)
        friction, steps = 1.0, 20_000
        for _ in range(2):
            law = tw.UnderdampedLangevin(potential, friction=friction, temperature=1.0)
            tree = tw.sample(law, start, draws=steps, warmup=5_000, chains=CHAINS, diagnostics=False, progress=False)
            friction = 1.0 / float(tree["posterior"]["x"].std(("chain", "draw")).max())
    return CHAINS * steps / least(tree["posterior"]["x"].values)


def gradients_of_nuts(potential: Any, start: jax.Array) -> float:
    draws = 2_000

    def logdensity(x: jax.Array) -> jax.Array:
        return -potential(x)

    @jax.jit
    @jax.vmap
    def chain(key: jax.Array) -> Any:
        warm, go = jax.random.split(key)
        adapted, _ = blackjax.window_adaptation(blackjax.nuts, logdensity).run(warm, start, num_steps=1_000)
        step = blackjax.nuts(logdensity, **adapted.parameters).step

        def one(state: Any, key: jax.Array) -> Any:
            state, info = step(key, state)
            return state, (state.position, info.num_integration_steps)

        return jax.lax.scan(one, adapted.state, jax.random.split(go, draws))[1]

    positions, taken = chain(jax.random.split(jax.random.key(0), CHAINS))
    return float(np.sum(taken)) / least(np.asarray(positions))


def gradients_of_mclmc(potential: Any, start: jax.Array) -> float:
    steps = 20_000

    def logdensity(x: jax.Array) -> jax.Array:
        return -potential(x)

    first, second, third = jax.random.split(jax.random.key(0), 3)
    state = blackjax.mcmc.mclmc.init(position=start, logdensity_fn=logdensity, rng_key=first)

    kernel = blackjax.mcmc.mclmc.build_kernel(integrator=blackjax.mcmc.integrators.isokinetic_mclachlan)
    state, tuned, *_ = blackjax.mclmc_find_L_and_step_size(
        mclmc_kernel=kernel, num_steps=20_000, state=state, rng_key=second, logdensity_fn=logdensity,
        diagonal_preconditioning=False,
    )  # fmt: skip
    step = blackjax.mclmc(
        logdensity, L=tuned.L, step_size=tuned.step_size, integrator=blackjax.mcmc.integrators.isokinetic_mclachlan
    ).step

    @jax.jit
    @jax.vmap
    def chain(key: jax.Array) -> Any:
        def one(state: Any, key: jax.Array) -> Any:
            state, _ = step(key, state)
            return state, state.position

        return jax.lax.scan(one, state, jax.random.split(key, steps))[1]

    positions = chain(jax.random.split(third, CHAINS))
    # McLachlan's integrator takes two gradients a step.
    return 2.0 * CHAINS * steps / least(np.asarray(positions))


def least(positions: np.ndarray) -> float:
    """The effective sample size of the worst parameter, of positions (chains, draws, d)."""
    data = xarray.Dataset(
        {"x": (("chain", "draw", "parameter"), positions)},
        {"chain": np.arange(positions.shape[0]), "draw": np.arange(positions.shape[1])},
    )
    return float(arviz_stats.ess(data, method="bulk")["x"].min())
