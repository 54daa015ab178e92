"""Programs worked out by NumPy, against the same ones compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from thalweg._methods import evaluated
from thalweg._methods.evaluated import Evaluated

MATRIX = jnp.array([[2.0, 0.3, 0.0], [0.1, -1.5, 0.2], [0.4, 0.0, 3.0]])


def looped(x, y):
    """A loop that ends for each row where its numbers say."""
    return jax.lax.while_loop(lambda s: jnp.sum(s[0] ** 2) > y, lambda s: (0.5 * s[0], s[1] + 1.0), (x, y))[0]


def nested(x, y):
    return jax.lax.while_loop(
        lambda s: s[1] < 3,
        lambda s: (jax.lax.while_loop(lambda z: z[0] < y, lambda z: z + 0.7, s[0]), s[1] + 1),
        (x, 0),
    )[0]


def scanned(x, y):
    carry, rows = jax.lax.scan(lambda c, z: (c * y + z, c - z), y, x, reverse=True)
    return jnp.append(rows, carry)


def branching(x, y):
    one = jax.lax.cond(y > 0.5, lambda x: x[::-1], lambda x: 2.0 * x, x)
    return one + jax.lax.switch(jnp.int32(4.0 * y) - 1, [jnp.sin, jnp.cos, lambda x: x**3], x)


def several(x, y):
    return jnp.concatenate([x, y[None], jnp.stack([y, y]), jnp.tile(x, 2), jnp.arange(3.0)])


CASES = {
    "arithmetic": lambda x, y: (x + y) * x - x / (1.0 + y) + x**3 - x**-2 + (x**2) ** 0.3 - jnp.abs(x) % 0.7,
    "functions": lambda x, y: (
        jnp.exp(x) + jnp.log1p(y) * jnp.tanh(x) - jnp.expm1(jnp.sqrt(y)) + jnp.cosh(x) - jnp.sign(x)
    ),
    "logic": lambda x, y: jnp.where((x > y) & ~(x == 0.0) | jnp.isfinite(y) & (x < -1.0), x, y),
    "extremes": lambda x, y: jnp.clip(x, -y, y) + jnp.max(x) - jnp.min(jnp.maximum(x, y)) + jnp.prod(x),
    "sums": lambda x, y: jnp.sum(x) + jnp.mean(jnp.outer(x, x), axis=0) + jnp.all(x < 9.0) - jnp.any(x > y),
    "products": lambda x, y: MATRIX @ x * y + jnp.outer(x, x) @ x + jnp.vdot(x, MATRIX @ x),
    "batched products": lambda x, y: jnp.einsum("ij,ik->ij", jnp.outer(x, x), MATRIX) @ x + y,
    "shapes": lambda x, y: (x[None, ::-1].T * jnp.eye(3)[:, 1:]).reshape(-1)[2:5] + jnp.broadcast_to(y, (3,)),
    "several": several,
    "branching": branching,
    "looped": looped,
    "nested": nested,
    "scanned": scanned,
    "nothing scanned": lambda x, y: jax.lax.scan(lambda c, z: (c, z), x, x[:0, None])[1].sum() + x,
    "softplus": lambda x, y: jax.nn.softplus(x) + jax.nn.sigmoid(y),
    "derivative": lambda x, y: jax.grad(lambda x: jnp.sum(jnp.sin(x) * y) / jnp.linalg.norm(x))(x),
    "along": lambda x, y: jax.jvp(lambda x: looped(x, y), (x,), (MATRIX[0],))[1],
    "integers": lambda x, y: x * (jnp.arange(3) // 2 - jnp.int32(3.0 * y) % 2),
    "integers towards 0": lambda x, y: (
        y
        + jax.lax.div(jnp.int32(9.0 * x), jnp.array([2, -3, 0], jnp.int32))
        + jax.lax.rem(jnp.int32(9.0 * x), jnp.array([2, -3, 0], jnp.int32))
    ),
    "solved": lambda x, y: jax.scipy.sparse.linalg.cg(lambda v: (3.0 + y) * v, x, maxiter=5)[0],
    "factored": lambda x, y: jnp.linalg.solve(MATRIX + y * jnp.eye(3), x),
    "factored, of the other side": lambda x, y: jax.lax.linalg.triangular_solve(
        MATRIX * (1.0 + y), jnp.stack([x, x**2]), left_side=False, lower=False, transpose_a=True, unit_diagonal=True
    ),
    "triangles": lambda x, y: sum(
        jax.lax.linalg.triangular_solve(
            MATRIX + y, x[:, None], left_side=True, lower=lower, transpose_a=turned, unit_diagonal=unit
        )[:, 0]
        for lower in (True, False)
        for turned in (True, False)
        for unit in (True, False)
    ),
    "singular": lambda x, y: jax.scipy.linalg.lu_factor(jnp.zeros((3, 3)).at[1, 0].set(y))[0] @ x,
    "wide": lambda x, y: jax.lax.linalg.lu(jnp.outer(x, x)[:2] + MATRIX[:2])[0].sum() + x,
    "spectral": lambda x, y: (
        jnp.einsum(
            "ij,j,kj->ik",
            *(lambda values, vectors: (vectors, jnp.exp(values), vectors))(*jnp.linalg.eigh(MATRIX + jnp.outer(x, x))),
        )
        * y
    ),
    "spectral derivative": lambda x, y: jax.jvp(
        lambda z: jnp.linalg.eigvalsh(MATRIX + jnp.outer(z, z)), (x,), (MATRIX[0] * y,)
    )[1],
    "root": lambda x, y: jnp.linalg.cholesky(jnp.outer(x, x) + (1.0 + y) * jnp.eye(3)) @ x,
    "rows taken": lambda x, y: MATRIX[jnp.int32(jnp.abs(x)), jnp.array([2, 0, 1])] + x[jnp.int32(3.0 * y)],
    "places outside": lambda x, y: (
        x.at[jnp.array([0, 7])].get(mode="fill", fill_value=9.0).sum()
        + x[jnp.array([5, -9])].sum()
        + jnp.stack([x, x]).at[:, jnp.int32(6.0 * y)].set(y, mode="drop")
    ),
    "put": lambda x, y: jnp.diag(x).at[:-1, -1].set(y).at[-1, :-1].add(x[1:]).at[jnp.array([0, 0]), 1].add(y),
    "windows": lambda x, y: jax.lax.dynamic_update_slice(
        x, jax.lax.dynamic_slice(x, (jnp.int32(4.0 * y),), (2,)), (jnp.int32(3.0 - 3.0 * y),)
    ),
    "batched windows": lambda x, y: (
        jax.vmap(lambda z, i: z[i])(MATRIX * y, jnp.int32(jnp.abs(x)))
        + jax.vmap(lambda z, i: z.at[i].add(1.0))(MATRIX, jnp.int32(jnp.abs(x))).sum(0)
    ),
    "padded": lambda x, y: jax.lax.pad(x, y, [(2, -1, 1)]),
    "running": lambda x, y: jnp.cumsum(x) + jnp.cumprod(x * y) + jax.lax.cumsum(x, reverse=True),
    "places": lambda x, y: x * jnp.argmax(x) + jnp.argmin(jnp.abs(x)) - jax.lax.clamp(y, x, 1.0),
    "in order": lambda x, y: jnp.sort(x) * jnp.argsort(-x) + jax.lax.sort((jnp.round(x), y * x), num_keys=2)[1],
    "rounded": lambda x, y: jnp.round(x) + jax.lax.round(2.0 * x, jax.lax.RoundingMethod.AWAY_FROM_ZERO),
    "remainders": lambda x, y: x % 0.7 + jax.lax.rsqrt(y) - jnp.fmod(x, 0.3),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_what_the_compiled_program_makes_of_them(name, rng):
    fn = CASES[name]
    x, y = rng.standard_normal((7, 3)), rng.random(7)
    expected = jax.jit(jax.vmap(fn))(x, y)
    whole, rest = Evaluated(fn, rows=2), Evaluated(fn, rows=1)
    found = whole(x, y)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    # One row alone, and the first argument as the same for all of them.
    np.testing.assert_allclose(whole(x[2:3], y[2:3]), expected[2:3], rtol=1e-12, atol=1e-13)
    found = rest(jnp.asarray(x[2]), np.append(y[2], y))
    np.testing.assert_allclose(found[0], expected[2], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found[1:], whole(np.tile(x[2], (7, 1)), y), rtol=1e-12, atol=1e-13)
    assert all(program.operation is not None for one in (whole, rest) for program in one.known.values())


def test_what_numpy_has_not_is_compiled_once_for_fewer_rows(monkeypatch, rng):
    traced = []

    def unitary(x, y):
        traced.append(None)
        return jnp.linalg.qr(MATRIX * y)[0] @ x

    whole = Evaluated(unitary, rows=2)
    x, y = rng.standard_normal((9, 3)), rng.random(9)
    first = whole(x, y)
    (program,) = whole.known.values()
    assert program.operation is None
    before = len(traced)
    for count in (1, 4, 9):
        np.testing.assert_array_equal(whole(x[:count], y[:count]), first[:count])
    assert len(traced) == before


@pytest.mark.parametrize(
    "fn",
    [
        lambda x, y: jnp.linalg.cholesky((MATRIX @ MATRIX.T + y).astype(complex)).real @ x,
        lambda x, y: x ** jnp.int32(y + 2.0),
    ],
    ids=["of complex numbers", "of whole numbers"],
)
def test_what_numpy_has_otherwise_is_compiled(fn, rng):
    x, y = rng.standard_normal((3, 3)), rng.random(3)
    whole = Evaluated(fn, rows=2)
    np.testing.assert_allclose(whole(x, y), jax.jit(jax.vmap(fn))(x, y), rtol=1e-12, atol=1e-13)
    assert all(program.operation is None for program in whole.known.values())


@pytest.mark.parametrize("count", [9, 10, 31])
def test_many_rows_are_worked_out_some_at_a_time(count, monkeypatch, rng):
    monkeypatch.setattr(evaluated, "_ABREAST", 10)
    x, y = rng.standard_normal((count, 3)), rng.random(count)
    np.testing.assert_array_equal(Evaluated(several, rows=2)(x, y), jax.vmap(several)(x, y))
    # One that no row is asked of has as many all the same.
    assert Evaluated(lambda x, y: MATRIX, rows=2)(x, y).shape == (count, 3, 3)


def test_a_program_is_traced_once_and_numbers_may_differ(rng):
    traced = []

    def scaled(factor, x):
        traced.append(None)
        return factor * x

    whole = Evaluated(scaled, rows=1)
    for factor in (2.0, 3.0):
        np.testing.assert_array_equal(whole(jnp.asarray(factor), np.ones((4, 2))), np.full((4, 2), factor))
    assert len(traced) == 1
    # What is no array is part of the program.
    whole(2, np.ones((4, 2)))
    assert len(traced) == 2 and whole.of(2).shape(np.ones((9, 2))) == (2,)


def test_where_its_arguments_are_traced_it_is_traced_with_them():
    whole = Evaluated(lambda factor, x: factor * x, rows=1)
    found = jax.jit(lambda factor: whole(factor, jnp.ones((4, 2))))(3.0)
    np.testing.assert_array_equal(found, np.full((4, 2), 3.0))


def test_infinite_numbers_are_numbers():
    found = Evaluated(lambda x: 1.0 / x - jnp.log(x), rows=1)(np.array([0.0, 1.0, -1.0]))
    assert found[0] == np.inf and found[1] == 1.0 and np.isnan(found[2])
