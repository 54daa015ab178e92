"""Muon's flow against closed forms, and what its iteration makes of singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import amplification, convergence_order, largest_stable_learning_rate

NO_MEMORY = tw.AdamFlow(None, first=None, second=None, form="sign")


def rotated(rng, singular, rows=5, columns=4):
    """A matrix of these singular values in axes at random, and the axes."""
    u, _ = np.linalg.qr(rng.normal(size=(rows, columns)))
    v, _ = np.linalg.qr(rng.normal(size=(columns, columns)))
    return u @ np.diag(singular) @ v.T, u, v


def spectral(f, **options):
    return tw.MuonFlow(f, first=None, others=NO_MEMORY, scaling="none", **options)


@pytest.mark.parametrize("iterations", [None, 5], ids=["exact", "iterated"])
def test_the_flow_of_a_distance_takes_all_singular_values_down_at_rate_one(iterations, rng):
    r"""$\tfrac12\|X - A\|^2$: $S(t) = (S_0 - t)_+$, by any steps until the first is 0; then that one circles."""
    aim = rng.normal(size=(5, 4))
    singular = np.array([3.2, 2.4, 1.7, 0.9])
    off, u, v = rotated(rng, singular)
    method = tw.Method(spectral(lambda x: 0.5 * jnp.sum((x - aim) ** 2), iterations=iterations), tw.LieTrotter(), 0.1)
    run = tw.run(method, jnp.asarray(aim + off), 16, record=1)
    left = np.einsum("ri,tra,ai->ti", u, np.asarray(run.trace.position).reshape(-1, 5, 4) - aim, v)
    times = 0.1 * np.arange(17)[:, None]
    if iterations is None:
        np.testing.assert_allclose(left[:9], (singular - times)[:9], rtol=0, atol=1e-12)
        # The three that are above 0 go on as they went.
        np.testing.assert_allclose(left[:, :3], (singular - times)[:, :3], rtol=0, atol=1e-12)
        assert np.max(np.abs(left[9:, 3])) <= 0.1 + 1e-12
    else:
        # Each at a rate between the least and the largest that the iteration makes of it.
        gone = (singular - left[8]) / 0.8
        assert 0.68 < gone.min() < 0.95 and 1.0 < gone.max() < 1.21


def test_singular_values_of_the_iteration(rng):
    """From 0.0021 of the Frobenius norm up to between 0.68 and 1.21; smaller ones 3.4445^5 = 485 times as large."""
    shares = np.concatenate([np.geomspace(0.0021, 0.999, 12), [1e-6]])
    flow = spectral(lambda x: jnp.sum(x * slope))
    found = []
    for share in shares:
        # One singular value is a share of the norm, the other the rest of it.
        slope, u, v = rotated(rng, [share, np.sqrt(1.0 - share**2)], 3, 2)
        move = np.asarray(flow.velocity(None, jnp.zeros((3, 2))))
        kept = -u.T @ move @ v
        assert abs(kept[0, 1]) + abs(kept[1, 0]) < 1e-9
        found.append(np.diag(kept))
    found = np.array(found)
    assert found[:-1].min() > 0.68 and found[:-1].max() < 1.21
    assert found[-1, 0] == pytest.approx(1e-6 * 3.4445**5, rel=1e-4)


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 5)], ids=str)
def test_the_exact_direction_is_that_of_the_spectral_norm(shape, rng):
    slope = jnp.asarray(rng.normal(size=shape))
    flow = spectral(lambda x: jnp.sum(x * slope), iterations=None, stacked=True)
    norm = tw.geometry.Norm("spectral", unit=True)
    np.testing.assert_allclose(flow.velocity(None, slope), -norm.unit_direction(slope), atol=1e-13)
    # And the iteration comes near it at coefficients that converge: Newton and Schulz' own, of order two.
    flow = spectral(lambda x: jnp.sum(x * slope), iterations=30, coefficients=(1.5, -0.5, 0.0), stacked=True)
    np.testing.assert_allclose(flow.velocity(None, slope), -norm.unit_direction(slope), atol=1e-10)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_gradients_of_any_size_in_float32(size):
    with jax.enable_x64(False):
        slope = jnp.asarray(size * np.array([[3.0, 1.0], [0.5, -2.0]]), jnp.float32)
        # epsilon is in units of the gradient, and would be all of a small one.
        others = tw.AdamFlow(None, first=None, second=None, form="sign", epsilon=0.0)
        flow = tw.MuonFlow(lambda x: jnp.sum(x * slope), first=None, others=others)
        move = flow.velocity(None, jnp.zeros((2, 2)))
        assert move.dtype == jnp.float32
        values = np.linalg.svd(np.asarray(move), compute_uv=False)
        assert values.min() > 0.68 and values.max() < 1.21
        assert not np.any(np.asarray(flow.velocity(None, jnp.zeros((2, 2)) * slope)) != move)
        still = tw.MuonFlow(lambda x: 0.0 * jnp.sum(x), first=None, others=others)
        assert not np.any(np.asarray(still.velocity(None, jnp.ones((2, 2)))))


AIM = np.array([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.1]])


def bent(p):
    return jnp.sum(jnp.cosh(p["w"] - AIM)) + jnp.sum((p["b"] - 0.3) ** 4) + p["b"][0] * p["w"][0, 0]


@pytest.mark.parametrize("nesterov", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_splitting_tends_to_the_flow_at_first_order(nesterov):
    start = {"w": jnp.array([[2.0, 0.4], [-0.3, 1.5], [1.0, -1.2]]), "b": jnp.array([1.5, -0.8])}
    flow = tw.MuonFlow(
        bent, 0.5, first=0.8, decay=0.1, others=tw.AdamFlow(None, first=0.5, second=2.0, epsilon=0.1), iterations=None
    )
    found = convergence_order(tw.Method(flow, tw.LieTrotter(nesterov=nesterov), 0.05), start, horizon=1.0)
    assert found.order == pytest.approx(1.0, abs=0.1)


def test_an_average_that_is_corrected_begins_at_the_gradient():
    """Along a constant gradient the average does not matter, from the first step on, by a Runge-Kutta method too."""
    slope = jnp.array([[3.0, 1.0], [0.5, -2.0]])
    flow = tw.MuonFlow(lambda x: jnp.sum(x * slope), first=2.0, iterations=None)
    u, _, v = np.linalg.svd(slope)
    for scheme in (tw.LieTrotter(), tw.LieTrotter(nesterov=True), tw.RK4()):
        run = tw.run(tw.Method(flow, scheme, 0.25), jnp.zeros((2, 2)), 8)
        np.testing.assert_allclose(run.final.position, -2.0 * u @ v, atol=1e-12)


def test_low_precision_keeps_its_dtype_and_its_averages_are_wider():
    with jax.enable_x64(False):
        method = tw.muon(lambda x: jnp.sum(x["w"].astype(jnp.float32) ** 2) + jnp.sum(x["b"]), 0.01)
        state = method.init({"w": jnp.ones((3, 2), jnp.bfloat16), "b": jnp.ones(2, jnp.float16)})
        state = method.step(method.step(state))
        assert (state.position["w"].dtype, state.position["b"].dtype) == (jnp.bfloat16, jnp.float16)
        assert {leaf.dtype for leaf in jax.tree.leaves(state.auxiliary)} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(("dtype", "iterating"), [(jnp.float32, None), (jnp.float64, None), (jnp.float64, "bfloat16")])
def test_the_iteration_is_in_the_precision_of_the_average_or_the_one_asked_for(dtype, iterating):
    """Also where JAX has float64 and the parameters have not; the products of low precision are in float32."""
    method = tw.muon(lambda x: jnp.sum(x**2), 0.1, iteration_dtype=iterating)
    text = str(jax.make_jaxpr(method.step)(method.init(jnp.ones((3, 2), dtype))))
    products = [line.split(" = ")[0].split(":")[-1] for line in text.splitlines() if "= dot_general" in line]
    assert len(products) == 15
    kind = "f32" if iterating or dtype == jnp.float32 else "f64"
    assert {one.split("[")[0] for one in products} == {kind}


def test_the_probe_says_what_can_be_said_instead():
    says = "what can be said instead: .* below 2/L times the sum of the singular values of its slope"
    for ask in (
        lambda: largest_stable_learning_rate(tw.muon(None, 0.1), 1.0),
        lambda: amplification(tw.muon(lambda x: jnp.sum(x**2), 0.1), at=(0.0, jnp.ones((2, 2)))),
        lambda: tw.analysis.stationary_covariance(tw.muon(None, 0.1), 1.0, 1.0),
    ):
        with pytest.raises(tw.InputError, match=says):
            ask()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tw.muon(bent, 0.1, beta=1.0), "beta must be less than 1"),
        (lambda: tw.muon(bent, 0.1, adam_beta2=-0.1), "adam_beta2 must be at least 0"),
        (lambda: tw.muon(bent, 0.1, beta=0.0), "give the law a memory time"),
        (lambda: tw.muon(bent, 0.1, weight_decay=-1.0), "weight_decay must be at least 0"),
        (lambda: tw.muon(bent, 0.1, adam_learning_rate=0.0), "adam_learning_rate must be greater than 0"),
        (lambda: tw.muon(bent, 0.1, layout="out-in"), "layout 'out-in' is unknown; did you mean 'out_in'"),
        (lambda: tw.muon(bent, 0.1, scaling="rms"), "scaling 'rms' is unknown; choose one of: match_rms_adamw"),
        (lambda: tw.muon(bent, 0.1, iterations=0), "iterations must be a whole number of at least 1"),
        (lambda: tw.muon(bent, 0.1, coefficients=(1.5, -0.5)), r"must be three numbers, or three for each of the 5"),
        (lambda: tw.muon(bent, 0.1, iteration_dtype="bf16"), "iteration_dtype 'bf16' is unknown"),
        (lambda: tw.muon(bent, 0.1, iterations=None, iteration_dtype="bfloat16"), "is of an iteration"),
        (lambda: tw.MuonFlow(bent, others=tw.AdamFlow(bent)), "give it no objective"),
        (lambda: tw.MuonFlow(bent, first=0.0), "first, a memory time, must be greater than 0"),
        (lambda: tw.Method(tw.MuonFlow(bent), tw.Leapfrog(), 0.1), "has no separate force"),
        (lambda: tw.Method(tw.MuonFlow(bent), tw.LieTrotter(True, 0.1), 0.1), "momentum_decay is for tw.AdamFlow"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_line(make, says):
    with pytest.raises(tw.InputError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)
