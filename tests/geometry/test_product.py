"""Products of geometries: by the tree of the parameters and by labels, what they can do, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.geometry import AbstractDistance, AbstractEmbedded, AbstractManifold, AbstractMetric, AbstractNoise

SPHERE, STIEFEL = tw.geometry.Sphere(), tw.geometry.Stiefel()
START = {"w": {"a": jnp.array([0.6, 0.8]), "b": jnp.array([0.0, 1.0])}, "c": jnp.array([2.0, -1.0])}
SLOPE = {"w": {"a": jnp.array([1.0, 0.0]), "b": jnp.array([0.5, 2.0])}, "c": jnp.array([0.3, 0.4])}


class Scaling(AbstractMetric):
    """A metric alone, with an array."""

    factor: jax.Array

    def velocity(self, position, covector):
        return jax.tree.map(lambda p: self.factor * p, covector)

    def inner(self, position, u, v):
        return jnp.sum(u * v) / self.factor


def kind(path):
    return "turned" if path.startswith("w.") else "flat"


PARTS = {"turned": SPHERE, "flat": None}
WAYS = {
    "a branch": tw.geometry.Product({"w": SPHERE, "c": None}),
    "every leaf": tw.geometry.Product({"w": {"a": SPHERE, "b": SPHERE}, "c": tw.geometry.Euclidean()}),
    "labels": tw.geometry.Product(PARTS, labels={"w": "turned", "c": "flat"}),
    "paths": tw.geometry.Product(PARTS, labels=kind),
}


@pytest.mark.parametrize(
    "way", ["a branch", *(pytest.param(way, marks=pytest.mark.slow) for way in ("every leaf", "labels")), "paths"]
)
def test_parts_are_named_by_the_tree_or_by_labels(way):
    both = WAYS[way]
    found = both.velocity(START, SLOPE)
    assert found["c"] is SLOPE["c"]
    for name in "ab":
        np.testing.assert_array_equal(found["w"][name], SPHERE.velocity(START["w"][name], SLOPE["w"][name]))
    square = 0.25 + sum(float(jnp.sum(found["w"][name] ** 2)) for name in "ab")
    assert float(both.inner(START, found, found)) == pytest.approx(square, rel=1e-14)
    end = both.move(START, found)
    assert float(both.squared_distance(START, end)) == pytest.approx(square, rel=1e-12)
    run = tw.run(tw.Method(tw.HeavyBall(lambda x: jnp.sum(x["c"] ** 2) + x["w"]["a"][0], 0.1, geometry=both),
                           tw.Leapfrog(), 0.1), START, 5, record=None)  # fmt: skip
    assert abs(float(jnp.linalg.norm(run.final.position["w"]["a"])) - 1.0) < 4e-16


def test_it_can_do_what_all_of_its_parts_can():
    metric = tw.geometry.Product({"a": SPHERE, "b": Scaling(jnp.array(2.0))})
    assert isinstance(metric, AbstractMetric) and not isinstance(metric, AbstractManifold | AbstractNoise)
    frames = tw.geometry.Product({"a": SPHERE, "b": STIEFEL})
    assert isinstance(frames, AbstractEmbedded) and isinstance(frames, AbstractNoise)
    assert not isinstance(frames, AbstractDistance) and isinstance(WAYS["paths"], AbstractDistance)
    flow = tw.GradientFlow(lambda x: x["a"][0] + jnp.sum(x["b"]), geometry=metric)
    end = tw.run(tw.Method(flow, tw.Euler(), 0.1), {"a": jnp.array([0.6, 0.8]), "b": jnp.ones(2)}, 1).final.position
    np.testing.assert_allclose(end["b"], 0.8, rtol=1e-14)
    with pytest.raises(tw.InputError, match=r"tw\.HeavyBall needs a manifold, .* but Product is a metric alone"):
        tw.HeavyBall(None, 1.0, geometry=metric)
    # The numbers of its parts are its arrays.
    assert [float(leaf) for leaf in jax.tree.leaves(eqx.filter(metric, eqx.is_array))] == [2.0]


def test_a_single_array_is_called_x():
    named = []
    both = tw.geometry.Product({"turned": SPHERE}, labels=lambda path: named.append(path) or "turned")
    both.check(jnp.array([0.6, 0.8]))
    assert named == ["x"]


def start_of(geometry, position):
    return tw.Method(tw.HeavyBall(lambda x: 0.0, 0.1, geometry=geometry), tw.Leapfrog(), 0.1).init(position)


WRONG = {
    "no geometry": (lambda: tw.geometry.Product({"a": 2.0}), "must hold geometries of tw.geometry, .* but holds 2.0"),
    "a class": (lambda: tw.geometry.Product({"a": tw.geometry.Sphere}), r"must hold instances: Sphere\(\), not the"),
    "nothing": (lambda: tw.geometry.Product({}), "by_leaf must hold geometries, but holds none"),
    "labels of no dictionary": (lambda: tw.geometry.Product(SPHERE, labels=kind), "must be a dictionary of geometries"),
    "an unknown label": (lambda: tw.geometry.Product(PARTS, {"a": "flatt"}), "label 'flatt' is unknown; did you mean"),
    "labels of two": (lambda: tw.geometry.Product(PARTS, lambda a, b: a), "labels must be a function of path"),
    "a label of a path": (
        lambda: start_of(tw.geometry.Product({"turned": SPHERE}, kind), START),
        "label 'flat' is unknown",
    ),
    "another tree": (
        lambda: start_of(WAYS["a branch"], {"w": START["w"]}),
        r"Product is of the form \({'c': \*, 'w': \*}\), where \* is a geometry, but the parameters are of the form",
    ),
    "a point of no part": (
        lambda: start_of(WAYS["paths"], {"w": {"a": jnp.array([2.0, 0.0])}, "c": jnp.ones(1)}),
        "Sphere needs unit vectors along the last axis",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(case):
    call, message = WRONG[case]
    with pytest.raises(tw.InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
