"""Every law with every scheme: refused before anything is traced, or followed in all of its parts, by hand and by run.

The rows of the table are some of these pairs; what is asked of a row alone stands in `tests/table/`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests import laws, pairs
from thalweg import dynamics, schemes
from thalweg.dynamics import AbstractDynamics, AbstractNoisy, AbstractThermostat
from thalweg.schemes import AbstractScheme, Draws
from thalweg.schemes._base import phase

STEPS, SEED = 4, 3
MIXED, EXACT = (jnp.float32, jnp.bfloat16), (jnp.float64, jnp.float64)
PAIRS = [
    pytest.param(pair, id=pair.id, marks=[] if pair in pairs.few() else pytest.mark.slow) for pair in pairs.accepted()
]


class Called:
    """A function that counts its calls, of which any is one too many."""

    def __init__(self):
        self.count = 0

    def __call__(self, x):
        self.count += 1
        return laws.bowl(x)


def start_of(law, dtypes):
    """Where a law starts and, where it may have one, its velocity."""
    x, push = laws.tree_of(*dtypes), laws.push_of(*dtypes)
    if isinstance(law.geometry, tw.geometry.AbstractEmbedded):
        x = law.geometry.project(x)
        push = law.geometry.tangent(x, push)
    if isinstance(law.geometry, tw.geometry.Mirror) and law.geometry.potential == "simplex":
        x = law.geometry.from_dual(x)
    if law.order == 1:
        return x, None
    try:
        law.check_velocity(push)
    except tw.InputError:
        return x, None
    return x, push


def drawn(method, x):
    """The draws of a run, which are those of one vector, cut into trees."""
    leaves, structure = jax.tree.flatten(x)
    flat = jnp.concatenate([jnp.ravel(leaf).astype(jnp.result_type(*leaves)) for leaf in leaves])
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def cut(vector):
        parts = zip(jnp.split(vector, ends), leaves, strict=True)
        return jax.tree.unflatten(structure, [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in parts])

    steps = [method.draw(jax.random.key(SEED), flat, k) if method.noisy else Draws() for k in range(STEPS)]
    steps = [Draws(None, tuple(map(cut, draws.noise)), draws.uniforms) for draws in steps]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps)


@eqx.filter_jit
def by_hand(method, x, velocity, draws):
    """The states at the start, before the last step and after it."""

    def step(state, draws):
        return method.step(state, draws), state

    first = method.init(x, velocity)
    last, path = jax.lax.scan(step, first, draws, length=STEPS)
    return first, jax.tree.map(lambda leaf: leaf[-1], path), last


def vector(leaf):
    return np.ravel(np.asarray(leaf, float))


def check_moves(first, last):
    """Nothing of the phase is lost, and no part stands still."""
    assert jax.tree.structure(first) == jax.tree.structure(last)
    for before, after in zip(jax.tree.leaves(first), jax.tree.leaves(last), strict=True):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)
        assert np.isfinite(vector(after)).all()
        assert np.any(vector(before) != vector(after))


def check_rates(law, before, after):
    """A step changes each part at a rate between that at its start and that at its end, roughly."""
    rates = [law.rates(y.time, phase(y), law.evaluate(y.time, phase(y))) for y in (before, after)]
    for old, new, *ends in zip(*map(jax.tree.leaves, (phase(before), phase(after), *rates)), strict=True):
        rate, (here, there) = (vector(new) - vector(old)) / pairs.STEP, map(vector, ends)
        across = there - here
        along = np.clip(across @ (rate - here) / max(across @ across, 1e-30), 0.0, 1.0)
        off, largest = rate - here - along * across, max(np.linalg.norm(here), np.linalg.norm(there))
        rounding = float(jnp.finfo(old.dtype).eps) * np.linalg.norm(vector(old)) / pairs.STEP
        assert np.linalg.norm(off) <= 0.4 * largest + 2 * rounding


def check_same(mine, own, rough):
    """Two trees, or a tree and the vectors that a run made of it, are the same to rounding: `rough` or each its own."""
    found, at = np.concatenate([np.zeros(0), *map(vector, jax.tree.leaves(own))]), 0
    for leaf in jax.tree.leaves(mine):
        eps = float(jnp.finfo(leaf.dtype).eps)
        # Sums of low precision are formed in float32 and rounded once a step; in float32 every term rounds.
        allowed = max(STEPS * (eps if eps > 1e-3 else 10 * eps), rough) * max(1.0, np.abs(vector(leaf)).max())
        np.testing.assert_allclose(found[at : at + leaf.size], vector(leaf), rtol=0, atol=allowed)
        at += leaf.size
    assert at == found.size


def check_followed(pair, objective, dtypes):
    method = pair.method(tw.Objective(objective))
    law, scheme = method.dynamics, method.scheme
    x, velocity = start_of(law, dtypes)
    # Noise at the metric of a geometry is cut into the tree that this sees.
    if isinstance(law, AbstractNoisy) and not law.elementwise and law.geometry is None:
        seen = Called()
        with pytest.raises(tw.InputError, match="draws noise and may look at the shapes"):
            tw.run(pair.method(tw.Objective(seen)), x, STEPS, key=SEED)
        assert seen.count == 0
        x, method = x["b"], pair.method(tw.Objective(lambda x: objective({"b": x})))
    first, before, after = by_hand(method, x, velocity, drawn(method, x))
    begun, last = phase(first), phase(after)
    run = tw.run(method, x, STEPS, key=SEED, record=None, velocity=velocity)
    assert run.status == "finished", run.message
    assert (begun.velocity is None) == (law.order == 1)
    assert (begun.auxiliary is None) == (not law.has_auxiliary)
    assert jax.tree.map(jnp.result_type, (x, x)) == jax.tree.map(jnp.result_type, (last.position, run.final.position))
    check_moves(begun, last)
    # Noise has no rate; what begins anew, or goes as far as f lets it, has another. From where friction is infinite the
    # first step has none that a scheme could tell, the last one has.
    # BAOA kicks first and wholly, and where friction is still large the velocity at its end is a part of that.
    slowed = isinstance(law, tw.NesterovFlow) and pair.scheme == "Splitting BAOA"
    if not (isinstance(law, AbstractNoisy) or isinstance(scheme, tw.Restarted) or scheme.controlled or slowed):
        check_rates(law, before, after)
    # What is solved for, or measured by a sum over all parameters, is as rough everywhere as where it is roughest.
    solved = scheme.controlled or scheme.report(run.state).gradients is not None
    rough = max(STEPS * max(float(jnp.finfo(dtype).eps) for dtype in dtypes), 1e-7 if solved else 0.0)
    summed = isinstance(law, AbstractThermostat) or isinstance(law.geometry, tw.geometry.Norm | tw.geometry.Metric)
    shared = rough if solved or summed else 0.0
    check_same(last.position, run.final.position, shared)
    assert (run.final.velocity is None) == (last.velocity is None)
    check_same(last.velocity, run.final.velocity, shared)
    check_same(last.auxiliary, run.state.auxiliary, rough)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_that_is_accepted_is_followed_in_mixed_precision(pair):
    check_followed(pair, laws.bowl, MIXED)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_that_is_accepted_is_followed_to_the_last_digits(pair):
    check_followed(pair, laws.coupled, EXACT)


@pytest.mark.parametrize("law", pairs.LAWS)
def test_a_pair_that_is_refused_is_refused_before_anything_is_traced(law):
    seen, refused = Called(), 0
    for pair in pairs.every():
        if pair.law == law and pair not in pairs.accepted():
            with pytest.raises(tw.InputError) as caught:
                pair.method(tw.Objective(seen))
            assert "\n" not in str(caught.value)
            refused += 1
    assert refused > 0 and seen.count == 0


@pytest.mark.parametrize(
    ("room", "abstract", "known"),
    [(dynamics, AbstractDynamics, pairs.LAWS), (schemes, AbstractScheme, pairs.SCHEMES)],
    ids=["laws", "schemes"],
)
def test_whatever_is_exported_is_among_the_pairs(room, abstract, known):
    names = {name.split()[0] for name in known} - {"own"}
    assert names == pairs.exported(room, abstract) - pairs.OF_DENSITIES, "write a new law or scheme into tests/pairs.py"
    taking = {word for pair in pairs.accepted() for word in (pair.law.split()[0], pair.scheme.split()[0])}
    # What takes residuals, which no function of these has, is followed in its own tests.
    for name in pairs.ON_RESIDUALS & names:
        tw.Method(tw.GradientFlow(tw.LeastSquares(laws.bowl)), pairs.schemes()[name], pairs.STEP)
    special = pairs.ON_RESIDUALS | pairs.ON_DENSITIES | pairs.BACKWARDS
    assert names - special <= taking and not special & taking


MOVING = laws.moving(tw.Objective(laws.bowl))
REFUSED = {
    "noise that no letter adds": (
        lambda: tw.Method(laws.Kicked(None), tw.Splitting("BAOAB"), 0.1), "which the letter O would leave out",
    ),
    "a bare function": (lambda: tw.Method(laws.Spectral(laws.bowl), tw.Euler(), 0.1), "give tw.Objective"),
    "a proposal": (
        lambda: tw.Method(tw.OverdampedLangevin(MOVING, 1.0), tw.MetropolisAdjustedLangevin(), 0.1),
        "needs one energy at all times, but the objective depends on time; use tw.sgld",
    ),
    "an exchange": (
        lambda: tw.Method(tw.OverdampedLangevin(MOVING, 1.0), tw.ReplicaExchange(), 0.1), "exchange needs one energy",
    ),
    "a restart": (
        lambda: tw.Method(tw.NesterovFlow(MOVING), tw.Restarted(), 0.1), "Restarted needs one energy at all times",
    ),
    "a start where friction is infinite": (
        lambda: tw.Method(tw.HessianDampedFlow(laws.bowl, 0.2), tw.RK4(), 0.1).init(
            laws.tree_of(*EXACT), laws.push_of(*EXACT)
        ),
        "starts from rest, since its friction alpha/t is infinite at t = 0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_go_wrong_in_silence_is_one_line(case):
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
