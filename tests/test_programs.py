"""Programs by what they cost: which are compiled, and how."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg import _programs
from thalweg._errors import as_key
from thalweg._tree import on_device


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**33 + 5, 2**63 - 1])
def test_a_seed_is_the_key_that_jax_makes_of_it(seed, x64):
    with jax.enable_x64(x64):
        found, expected = as_key(seed), jax.random.key(seed)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(jax.random.key_data(found), jax.random.key_data(expected))


def test_a_seed_is_of_the_generator_that_jax_is_told_to_take():
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(jax.random.key_data(as_key(3)), jax.random.key_data(jax.random.key(3)))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("value", [0.1, 3, np.float32(0.1), np.arange(3.0), np.ones((2, 0))])
def test_numbers_of_the_host_are_the_same_on_the_device(value, x64):
    with jax.enable_x64(x64):
        found, expected = on_device(value, float), jnp.asarray(value, float)
        assert (found.dtype, found.shape, found.weak_type) == (expected.dtype, expected.shape, expected.weak_type)
        np.testing.assert_array_equal(found, expected)
        assert on_device(expected) is expected


def compiled_of(run):
    """Names of the programs that are compiled in a call."""
    found = []

    def heard(name, seconds, **about):
        if name.endswith("backend_compile_duration"):
            found.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        run()
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    return found


def test_a_run_compiles_its_start_and_its_chunk_alone():
    weights = jnp.arange(1.0, 8.0)
    method, x0 = tw.momentum(lambda x: jnp.sum(weights * x**2), 0.01, 0.9), jnp.ones(7)
    found = compiled_of(lambda: tw.run(method, x0, 80).metrics["loss"])
    assert found == ["jit(begin_evaluated)", "jit(advance)"]


@pytest.mark.parametrize(("size", "quick"), [(15, True), (16, False), (1000, False)])
def test_the_quick_emitter_is_for_short_arrays(size, quick, monkeypatch):
    asked = []
    real = jax.jit

    def heard(fn, **options):
        made = real(fn, **options)

        def call(*args):
            asked.append(bool(options.get("compiler_options")))
            return made(*args)

        call.trace = made.trace
        return call

    monkeypatch.setattr(_programs.jax, "jit", heard)
    # Arrays that are only moved, such as a buffer of results, do not count.
    fn = _programs.compiled_by_size(
        lambda x, n: (jax.lax.dynamic_update_slice(jnp.zeros(5000), jnp.exp(x) * n, (0,)), "said")
    )
    for _ in range(2):
        found, said = fn(jnp.ones(size), 3)
        assert said == "said"
        np.testing.assert_allclose(found[:size], np.exp(1.0) * 3, rtol=1e-12)
    assert asked == [quick, quick]


def test_what_is_raised_in_a_program_is_put_into_words():
    def fn(x):
        return eqx.error_if(x, x[0] > 2.0, "it is too far")

    compiled = _programs.compiled_by_size(fn)
    np.testing.assert_array_equal(compiled(jnp.ones(2)), 1.0)
    with pytest.raises(RuntimeError, match="it is too far"):
        jax.block_until_ready(compiled(3.0 * jnp.ones(2)))
