"""Products of geometries: by the tree of the parameters and by labels, what they can do, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.geometry import (
    AbstractDirection,
    AbstractDistance,
    AbstractDualFlat,
    AbstractEmbedded,
    AbstractManifold,
    AbstractMetric,
    AbstractNoise,
)

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
    metric = tw.geometry.Product({"a": None, "b": Scaling(jnp.array(2.0))})
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
    "a norm beside a sphere": (
        lambda: tw.geometry.Product({"a": tw.geometry.Norm("l2"), "b": SPHERE}),
        "steps in Norm add vectors of flat space, and would leave Sphere; take products of",
    ),
    "a bare metric beside a sphere": (
        lambda: tw.geometry.Product({"a": Scaling(jnp.array(2.0)), "b": SPHERE}),
        "steps in Scaling add vectors of flat space, and would leave Sphere; take products of",
    ),
    "a mirror map beside a sphere": (
        lambda: tw.geometry.Product({"a": tw.geometry.Mirror("entropy"), "b": SPHERE}),
        "steps in Mirror add dual coordinates, and those in Sphere do not; take products of mirror maps and flat space",
    ),
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


NORMS = {"matrix": tw.geometry.Norm("spectral", unit=True), "vector": tw.geometry.Norm("linf", unit=True)}
LAYER = {"w": jnp.array([[3.0, 1.0], [0.0, -2.0]]), "b": jnp.array([0.5, -4.0])}


def by_shape(path):
    return "matrix" if path == "w" else "vector"


def test_unit_directions_stand_side_by_side_and_their_rises_add_up():
    both = tw.geometry.Product(NORMS, labels=by_shape)
    assert isinstance(both, AbstractDirection) and not isinstance(both, AbstractMetric)
    found = both.velocity(LAYER, LAYER)
    u, s, v = np.linalg.svd(LAYER["w"])
    np.testing.assert_allclose(found["w"], u @ v, atol=1e-12)
    assert found["b"].tolist() == [1.0, -1.0]
    # f falls along them at the dual norm, the sum of theirs.
    np.testing.assert_allclose(both.slope_norm(LAYER, LAYER), s.sum() + 4.5, rtol=1e-12)
    rise = sum(float(jnp.sum(found[name] * LAYER[name])) for name in LAYER)
    np.testing.assert_allclose(rise, both.slope_norm(LAYER, LAYER), rtol=1e-12)
    flow = tw.GradientFlow(lambda x: jnp.sum(LAYER["w"] * x["w"]) + LAYER["b"] @ x["b"], geometry=both)
    end = tw.run(tw.Method(flow, tw.Euler(), 0.1), LAYER, 1, record=None).final.position
    np.testing.assert_allclose(end["w"], LAYER["w"] - 0.1 * u @ v, atol=1e-12)
    with pytest.raises(tw.InputError, match="the linear probe is of steps that are linear in the slope"):
        tw.analysis.amplification(tw.Method(flow, tw.Euler(), 0.1), 1.0)


@pytest.mark.parametrize("kind", ["linf", "l1", "l2"])
@pytest.mark.parametrize("unit", [False, True])
def test_one_norm_for_every_array_is_the_norm_by_arrays(kind, unit):
    own = tw.geometry.Norm(kind, unit, per_leaf=True)
    both = tw.geometry.Product(dict.fromkeys("wb", tw.geometry.Norm(kind, unit)))
    for mine, other in zip(*(jax.tree.leaves(g.velocity(LAYER, LAYER)) for g in (both, own)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-14)
    np.testing.assert_allclose(both.slope_norm(LAYER, LAYER), own.slope_norm(LAYER, LAYER), rtol=1e-14)


def test_a_norm_beside_a_metric_gives_directions():
    mixed = tw.geometry.Product({"w": tw.geometry.Norm("l2", unit=True), "b": tw.geometry.Metric(4.0)})
    assert isinstance(mixed, AbstractDirection) and not isinstance(mixed, AbstractMetric)
    found = mixed.velocity(LAYER, LAYER)
    np.testing.assert_allclose(found["b"], LAYER["b"] / 4.0)
    np.testing.assert_allclose(found["w"], LAYER["w"] / jnp.linalg.norm(LAYER["w"]))


def test_mirror_maps_side_by_side_are_one():
    shares = tw.geometry.Mirror("simplex")
    both = tw.geometry.Product({"w": shares, "b": None})
    assert isinstance(both, AbstractDualFlat) and isinstance(both, AbstractNoise)
    start = {"w": jnp.array([0.2, 0.3, 0.5]), "b": jnp.array([1.0, -2.0])}
    cost = {"w": jnp.array([0.5, 1.0, 2.0]), "b": jnp.array([3.0, 1.0])}
    flow = tw.GradientFlow(lambda x: sum(jnp.sum(cost[n] * x[n]) for n in x), geometry=both)
    end = tw.run(tw.Method(flow, tw.RK4(), 0.5), start, 2, record=None).final.position
    weights = start["w"] * jnp.exp(-cost["w"])
    np.testing.assert_allclose(end["w"], weights / weights.sum(), rtol=1e-12)
    np.testing.assert_allclose(end["b"], start["b"] - cost["b"], rtol=1e-12)


def test_directions_that_can_move_are_counted():
    frames, spheres, definite = jnp.eye(4, 2), jnp.eye(3), jnp.eye(3)
    parts = {"a": STIEFEL, "b": SPHERE, "c": tw.geometry.SPD(), "d": None, "e": tw.geometry.Hyperboloid()}
    point = {"a": frames, "b": spheres, "c": definite, "d": jnp.zeros((2, 2)), "e": jnp.array([1.0, 0.0, 0.0])}
    assert tw.geometry.Product(parts).dimension(point) == (8 - 3) + 3 * 2 + 6 + 4 + 2
