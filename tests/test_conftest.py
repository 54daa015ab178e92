"""The settings of conftest.py are in force, and in force where thalweg is loaded lazily."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

import thalweg as tw
from tests.environment import same_environment
from thalweg._tree import size


def test_numbers_are_double_precision():
    assert jnp.ones(1).dtype == jnp.float64
    assert tw.gradient_descent(None, 0.1).step_size.dtype == jnp.float64


def test_ranks_do_not_broadcast_silently():
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)


def test_a_wrong_type_is_refused_in_a_module_that_is_loaded_lazily():
    with pytest.raises(TypeCheckError, match="steps"):
        tw.analysis.order._counts(3.5)


def test_a_wrong_shape_is_refused():
    state = tw.schemes.State(jnp.ones(2))
    with pytest.raises(TypeCheckError, match="lookahead_weight"):
        tw.schemes.State(state.position, state.position, lookahead_weight=jnp.ones(2))


def test_a_wrong_field_is_refused():
    with pytest.raises(TypeCheckError, match="tableau"):
        tw.RungeKutta("RK4")


def test_the_seed_depends_on_the_test_alone(seed, key, rng, request):
    assert seed == request.getfixturevalue("seed")
    assert jnp.array_equal(jax.random.key_data(key), jax.random.key_data(jax.random.key(seed)))
    assert 0 <= rng.random() < 1


@pytest.mark.parametrize("leaf", [1.0, np.ones(2), jnp.ones(2, int), "a"], ids=["a number", "numpy", "whole", "text"])
def test_a_leaf_of_another_kind_is_refused(leaf):
    good = {"a": jnp.ones(2), "b": (jnp.ones(()),)}
    assert size(good) == 3
    with pytest.raises(TypeCheckError):
        size(good | {"b": (leaf,)})


def test_the_environment_that_a_test_leaves_is_forgotten(monkeypatch):
    monkeypatch.setenv("GIVEN", "mine")
    monkeypatch.setenv("TAKEN", "too")
    with same_environment():
        os.environ |= {"LEFT": "1", "GIVEN": "another"}
        del os.environ["TAKEN"]
    assert "LEFT" not in os.environ
    assert (os.environ["GIVEN"], os.environ["TAKEN"]) == ("mine", "too")


def test_every_test_has_an_environment_of_its_own(request):
    assert "environment_of_its_own" in request.fixturenames
