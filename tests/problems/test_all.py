"""What holds for every problem by name."""

import os
import pathlib
import re
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import thalweg as tw
from thalweg._objectives.at_start import check_at_start
from thalweg._objectives.objective import as_position
from thalweg._objectives.objective import start_value_and_gradient as value_and_gradient
from thalweg.problems import _catalogue

NAMES = tw.problems.names()
UNSOLVED = {"breast-cancer", "digits", "digits-network", "gaussian-mixture", "eight-schools", "eight-schools-centred"}
UNSOLVED |= {"logistic-posterior"}
CONVEX = {"lopsided", "breast-cancer", "digits", "gaussian", "gaussian-1e4", "logistic-posterior"}


def near_start(problem, rng, count):
    """Points about the start, stacked along a new leading axis."""
    return jax.tree.map(lambda leaf: leaf[None] + 0.3 * rng.normal(size=(count, *leaf.shape)), problem.start)


@pytest.mark.parametrize("name", NAMES)
def test_round_trip(name):
    problem = tw.problems.get(name)
    assert problem.name == name
    assert problem.description and "\n" not in problem.description
    assert re.fullmatch(r"[a-z]+\d{4}", problem.reference)
    assert problem.dimension == ravel_pytree(problem.start)[0].size


def test_a_constructor_names_its_problem_as_the_catalogue_does():
    own = {
        name: getattr(tw.problems, maker)().name for name, (maker, kwargs) in _catalogue.CATALOGUE.items() if not kwargs
    }
    assert len(own) == len(NAMES) - 4
    assert all(name == found for name, found in own.items())


@pytest.mark.parametrize("name", NAMES)
def test_can_be_descended_from_its_start(name):
    problem = tw.problems.get(name)
    check_at_start(problem.objective, as_position(problem.start))
    slope = ravel_pytree(value_and_gradient(problem.objective, problem.start)[1])[0]
    assert jnp.linalg.norm(slope) > 1e-3, "the start is not stationary"


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_known_or_computed(name):
    known = tw.problems.get(name).objective
    assert (known.minimum is None) == (known.minimiser is None)
    assert (known.minimum is None) == (name in UNSOLVED)
    convex = name.startswith("quadratic") or name in CONVEX
    assert convex == bool(known.strong_convexity) == bool(known.smoothness)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNSOLVED])
def test_stated_minimum(name, rng):
    problem = tw.problems.get(name)
    f = problem.objective
    assert jax.tree.map(jnp.shape, f.minimiser) == jax.tree.map(jnp.shape, problem.start)
    np.testing.assert_allclose(f.value(f.minimiser), f.minimum, rtol=0, atol=1e-15)
    np.testing.assert_allclose(f.gradient(f.minimiser), 0.0, atol=1e-14)
    about = f.minimiser[None] + 3.0 * rng.normal(size=(1000, problem.dimension))
    assert jnp.all(eqx.filter_jit(lambda f, x: jax.vmap(f.value)(x))(f, about) > f.minimum)


@pytest.mark.parametrize("name", NAMES)
def test_jit_and_vmap_equal_a_loop(name, rng):
    problem = tw.problems.get(name)
    f = problem.objective
    points = near_start(problem, rng, 3)
    values, gradients = eqx.filter_jit(lambda f, x: jax.vmap(f.value_and_gradient)(x))(f, points)
    for i in range(3):
        value, gradient = value_and_gradient(f, jax.tree.map(lambda leaf, i=i: leaf[i], points))
        np.testing.assert_allclose(values[i], value, rtol=1e-12)
        for together, alone in zip(jax.tree.leaves(gradients), jax.tree.leaves(gradient), strict=True):
            np.testing.assert_allclose(together[i], alone, rtol=1e-9, atol=1e-12 * float(jnp.abs(alone).max()))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_against_differences(name, rng):
    problem = tw.problems.get(name)
    f = problem.objective
    x, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], near_start(problem, rng, 1)))
    v = jnp.asarray(rng.normal(size=x.size))
    v, h = v / jnp.linalg.norm(v), 1e-5
    difference = (value_and_gradient(f, unravel(x + h * v))[0] - value_and_gradient(f, unravel(x - h * v))[0]) / (2 * h)
    np.testing.assert_allclose(
        ravel_pytree(value_and_gradient(f, unravel(x))[1])[0] @ v, difference, rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("name", NAMES)
def test_arrays_are_traced_not_baked_in(name):
    problem = tw.problems.get(name)
    arrays, rest = eqx.partition(problem.objective, eqx.is_array)
    traced = jax.make_jaxpr(lambda arrays, x: eqx.combine(arrays, rest).gradient(x))(arrays, problem.start)
    assert sum(np.size(const) for const in traced.consts) == 0


@pytest.mark.parametrize("name", NAMES)
def test_built_again_it_is_the_same_function(name):
    """Else the same problem built twice compiles twice."""
    assert tw.problems.get(name).objective.fn is tw.problems.get(name).objective.fn


@pytest.mark.parametrize("name", NAMES)
def test_float32_without_x64(name):
    with jax.enable_x64(False):
        problem = tw.problems.get(name)
        value, gradient = value_and_gradient(problem.objective, problem.start)
        for leaf in jax.tree.leaves(
            (problem.start, problem.objective.args, problem.objective.minimiser, value, gradient)
        ):
            assert leaf.dtype == jnp.float32
    wide = tw.problems.get(name)
    expected, _ = value_and_gradient(wide.objective, wide.start)
    assert expected.dtype == jnp.float64
    np.testing.assert_allclose(value, expected, rtol=2e-6)


def test_names_load_nothing():
    code = (
        "import sys, thalweg as tw; tw.problems.names(); print({'jax', 'numpy', 'scipy', 'sklearn'} & {*sys.modules})"
    )
    path = str(pathlib.Path(tw.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_there():
    assert {"Problem", "Moments", "get", "names", "logistic_digits", "rosenbrock", "eight_schools"} <= set(
        dir(tw.problems)
    )
    assert all(callable(getattr(tw.problems, name)) for name in dir(tw.problems))
    with pytest.raises(AttributeError, match="no attribute 'rosenbrook'"):
        tw.problems.rosenbrook  # noqa: B018
