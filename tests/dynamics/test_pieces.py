"""Fields whose arguments are constant on pieces of time: their flow is a product of exponentials."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.linalg import expm

import thalweg as tw

MATRICES = 0.7 * np.random.default_rng(0).normal(size=(3, 4, 4))
LENGTH = 0.5
FIELD = tw.Field(lambda t, x, a: a @ x, tw.Pieces(jnp.asarray(MATRICES), LENGTH))
X0 = jnp.array([0.3, -0.4, 0.7, 0.1])


def flow(pieces, x):
    for a in pieces:
        x = expm(LENGTH * a) @ x
    return x


@pytest.mark.parametrize(("scheme", "order"), [(tw.Euler(), 1), (tw.Midpoint(), 2), (tw.RK4(), 4)])
def test_a_scheme_keeps_its_order_across_the_edges(scheme, order):
    counts = np.array([16, 32, 64]) * len(MATRICES)
    exact = flow(MATRICES, X0)
    ends = [tw.solve(tw.Method(FIELD, scheme, LENGTH * 3 / n), X0, int(n)).final.position for n in counts]
    errors = [np.linalg.norm(end - exact) for end in ends]
    # The next term of the error is one order higher, and halves with the step.
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert abs(2 * slopes[1] - slopes[0] - order) < 0.03


def test_stages_that_look_at_the_time_alone_have_order_one():
    """What `during` is for: the same field by the time of each stage."""
    looked_up = tw.Field(lambda t, x, a: a[jnp.clip((t / LENGTH + 1e-9).astype(int), 0, 2)] @ x, jnp.asarray(MATRICES))
    exact = flow(MATRICES, X0)
    errors = [
        np.linalg.norm(tw.solve(tw.Method(looked_up, tw.RK4(), 1.5 / n), X0, n).final.position - exact)
        for n in (48, 96)
    ]
    assert np.log2(errors[0] / errors[1]) < 1.2


def test_backwards_and_by_a_grid_of_times():
    times = jnp.linspace(1.5, 0.0, 97)
    back = tw.solve(tw.Method(FIELD, tw.RK4(), times=times), jnp.asarray(flow(MATRICES, X0))).final
    np.testing.assert_allclose(back.position, X0, atol=1e-7)
    assert float(back.time) == 0.0


def test_states_between_two_steps_look_across_no_edge():
    # The cubic of a step that ends at an edge: h^4 / 384 times a fourth derivative of about 10.
    method = tw.Method(FIELD, tw.RK4(), LENGTH / 16)
    at = LENGTH - LENGTH / 64
    found = tw.solve(method, X0, 48, times=jnp.array([at])).saved
    np.testing.assert_allclose(found[0], expm(at * MATRICES[0]) @ X0, atol=1e-6)


def test_run_and_solve_and_the_probe_take_the_same_piece():
    method = tw.Method(FIELD, tw.Euler(), LENGTH)
    end = tw.solve(method, X0, 3).final.position
    np.testing.assert_allclose(tw.run(method, X0, 3).final.position, end, rtol=1e-14)
    for k, a in enumerate(MATRICES):
        matrix = tw.analysis.amplification(method, at=(k * LENGTH, X0))
        np.testing.assert_allclose(matrix, np.eye(4) + LENGTH * a, rtol=1e-13, atol=1e-13)


def test_a_damped_field_is_the_heavy_ball_where_it_is_a_slope():
    f = tw.Objective(lambda x: jnp.sum(jnp.cosh(x)))
    for scheme in (tw.Leapfrog(), tw.Leapfrog("zero"), tw.Lookahead(0.5), tw.RK4()):
        ball = tw.Method(tw.HeavyBall(f, 0.6, 1.5), scheme, 0.1)
        pushed = tw.Method(tw.DampedField(lambda t, x, args: -jnp.sinh(x), None, 0.6, 1.5), scheme, 0.1)
        one, other = (tw.solve(method, X0, 20).final for method in (ball, pushed))
        np.testing.assert_allclose(one.position, other.position, rtol=1e-13)
        np.testing.assert_allclose(one.velocity, other.velocity, rtol=1e-12)


def test_many_steps_in_float32_stay_in_their_pieces():
    # 64 pieces of 128 steps: the sum of the rates is seen only if each has as many steps.
    with jax.enable_x64(False):
        rates = jnp.arange(64.0)
        method = tw.Method(tw.Field(lambda t, x, rate: rate + 0 * x, tw.Pieces(rates, 0.1)), tw.Euler(), 0.1 / 128)
        end = tw.solve(method, jnp.zeros(()), 64 * 128).final.position
        assert float(end) == pytest.approx(0.1 * 64 * 63 / 2, rel=1e-4)


REFUSED = {
    "same non-empty leading axis": lambda: tw.Pieces((jnp.ones(3), jnp.ones(2)), 1.0),
    "leading axis": lambda: tw.Pieces(3.0, 1.0),
    "duration must be greater than 0": lambda: tw.Pieces(jnp.ones(3), 0.0),
    "must divide the duration of the pieces, 0.5": lambda: tw.Method(FIELD, tw.Euler(), 0.3),
    "Adaptive sets its steps itself": lambda: tw.Method(FIELD, tw.Adaptive(), 0.1),
    "Restarted asks whether a step goes up a function": lambda: tw.Method(
        tw.DampedField(lambda t, x, args: -x), tw.Restarted(), 0.1
    ),
    "a field must be a function": lambda: tw.DampedField(3.0),
    "friction must be at least 0": lambda: tw.DampedField(lambda t, x, args: x, friction=-1.0),
    "mass must be greater than 0": lambda: tw.DampedField(lambda t, x, args: x, mass=0.0),
}


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words, monkeypatch):
    # As a user calls: without the type checker of the tests.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)
