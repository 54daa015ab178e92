"""Linear arithmetic on trees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from thalweg.dynamics import combine

KINDS = {
    "a whole number": 2,
    "one as a float": 1.0,
    "a number": 0.3,
    "of NumPy": np.float32(0.3),
    "an array": jnp.array(0.3),
    "a narrow array": jnp.array(0.3, jnp.float32),
    "a weak array": jnp.asarray(0.3),
    "a count": jnp.array(2),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_sum_has_the_dtype_of_its_first_and_is_rounded_once(dtype, kind, request):
    if dtype == "float16":
        request.getfixturevalue("float16")
    coefficient = KINDS[kind]
    x = jnp.asarray(np.linspace(-1.0, 1.0, 7), dtype)
    y = jnp.asarray(np.linspace(3.0, 0.1, 7), dtype)
    wide = "float64" if dtype == "float64" else "float32"
    by = np.asarray(coefficient).astype(wide)
    expected = (by * np.asarray(y).astype(wide) + np.asarray(x).astype(wide)).astype(x.dtype)
    for fn in (combine, jax.jit(combine)):
        found = fn((coefficient, y), (1, x))
        assert found.dtype == x.dtype and not found.weak_type
        # To the last place: a compiled sum and product are one operation.
        assert np.allclose(np.asarray(found, float), expected.astype(float), rtol=2 * float(jnp.finfo(dtype).eps))


def test_dtypes_are_kept_leaf_by_leaf():
    x = {"wide": jnp.ones(2), "narrow": jnp.ones(3, jnp.bfloat16), "number": jnp.ones((), jnp.float32)}
    found = combine((1, x), (jnp.array(0.5), x))
    assert {name: leaf.dtype for name, leaf in found.items()} == {name: leaf.dtype for name, leaf in x.items()}
    assert [leaf.tolist() for leaf in jax.tree.leaves(found)] == [[1.5] * 3, 1.5, [1.5] * 2]


def test_another_coefficient_is_no_other_program():
    traced = []

    @jax.jit
    def call(c, x):
        traced.append(c)
        return combine((1, x), (c, x))

    assert [float(call(c, jnp.ones(()))) for c in (0.5, 2.0, 3.0)] == [1.5, 3.0, 4.0]
    assert len(traced) == 1


def test_leaves_of_two_shapes_are_refused():
    with pytest.raises(TypeError, match="shape"):
        combine((1, jnp.ones(2)), (0.5, jnp.ones(3)))


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
def test_float64_where_jax_makes_none():
    x = jnp.ones(2)
    with jax.enable_x64(False):
        for coefficient in (0.5, jnp.array(0.5), np.float64(0.5)):
            assert np.asarray(combine((1, x), (coefficient, x))).tolist() == [1.5, 1.5]
