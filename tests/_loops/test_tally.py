"""Counts of what chains met: the host's, a chunk at a time or whole, and the device's."""

import json

import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from thalweg._loops.chains import EVERY, Plan, advance, start_chains, unseen
from thalweg._loops.tally import Tally, jump_bar


def rows(rng, draws=50, chains=3):
    potential = rng.normal(size=(draws, chains)) * 400.0
    potential[7, 1], potential[20, 2], potential[21, 2] = np.inf, np.nan, -np.inf
    return potential, rng.exponential(size=(draws, chains))


def test_cut_anywhere_and_through_a_checkpoint_it_is_the_same(rng):
    potential, kinetic = rows(rng)
    whole = Tally(3, 1000.0)
    whole.add(True, potential, kinetic)
    cut = Tally(3, 1000.0)
    for low, high in ((0, 7), (7, 8), (8, 21), (21, 50)):
        cut.add(True, potential[low:high], kinetic[low:high])
        again = Tally(3, 1000.0)
        again.restore(json.loads(json.dumps(cut.about(), allow_nan=False)))
        cut = again
    np.testing.assert_array_equal(cut.broken, [[0, 0, 0], [0, 1, 2]])
    for name in ("looked", "broken", "jumps", "last"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))
    np.testing.assert_allclose(cut.kinetic, whole.kinetic, rtol=1e-13)
    with np.errstate(invalid="ignore"):
        rises = np.diff(potential + kinetic, axis=0)
    np.testing.assert_array_equal(whole.jumps, (np.isfinite(rises) & (rises > 1000.0)).sum(axis=0))
    assert whole.jumps.sum() > 3


def test_the_warmup_is_apart_and_its_jumps_are_none(rng):
    potential, kinetic = rows(rng)
    tally = Tally(3, 1000.0)
    tally.add(False, potential, kinetic)
    np.testing.assert_array_equal(tally.looked, [50, 0])
    np.testing.assert_array_equal(tally.broken, [[0, 1, 2], [0, 0, 0]])
    assert not tally.jumps.any() and not tally.kinetic.any()


def test_the_bar():
    assert jump_bar(1.0, 10) == 1000.0 and jump_bar(0.5, 10) == 500.0
    assert jump_bar(1.0, 10**6) == 10.0 * np.sqrt(2e6)
    assert jump_bar(None, 10) == jump_bar(0.0, 10) == np.inf


def looked(plan, method, starts, draws, cut=()):
    """The device's counts, in one piece or in several."""
    states, tally = start_chains(method, starts), Tally(len(starts), 0.5)
    low = 0
    for high in (*cut, draws):
        reference = {"position": starts}
        states, kept = advance(
            method, states, jax.random.key(1), np.int64(low), np.int64(high), reference, plan, 8, False,
            unseen(states, tally.last, 0.5),
        )  # fmt: skip
        tally.add_counts(True, kept["seen"])
        low = high
    return tally, states


def test_the_device_counts_as_the_host_does():
    """The draws that are looked at, of the same chains whose every energy is kept; in one piece or in several."""
    method = tw.Method(tw.UnderdampedLangevin(lambda x: jnp.where(x[0] < 1.0, x @ x, jnp.inf), 1.0, 1.0),
                       tw.Splitting("BAOAB"), 0.3)  # fmt: skip
    starts, draws = jnp.zeros((3, 2)), 1000
    plan = Plan.of(method, 3, 2, 1, True)
    assert plan.group > EVERY
    tally, states = looked(plan, method, starts, draws)
    every = Plan.of(method, 3, 2, 1, False)
    none = {"position": starts, "potential": jnp.zeros(3), "kinetic": jnp.zeros(3)}
    key = jax.random.key(1)
    end, kept = advance(
        method, start_chains(method, starts), key, np.int64(0), np.int64(draws), none, every, draws, True
    )
    np.testing.assert_array_equal(end.position, states.position)
    at = [i for i in range(draws) if (i % plan.group) % EVERY == EVERY - 1 or i % plan.group == plan.group - 1]
    host = Tally(3, 0.5)
    host.add(True, np.asarray(kept["potential"])[at], np.asarray(kept["kinetic"])[at])
    cut, _ = looked(plan, method, starts, draws, (100, 107, 512))
    for other in (tally, cut):
        for name in ("looked", "broken", "jumps"):
            np.testing.assert_array_equal(getattr(other, name), getattr(host, name))
        np.testing.assert_allclose(other.kinetic, host.kinetic, rtol=1e-12)
    assert host.broken.sum() > 10 and host.jumps.sum() > 1
