"""check_geometry: every check catches what is broken by it, with lines that show it; ours, and those of users, pass."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.testing.broken_geometries import AT, CASES, Entropic
from thalweg.testing._geometry_contract import GEOMETRY_BY_NAME, GEOMETRY_CHECKS

NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if case.slow else [], id=name.replace(" ", "-"))
    for name, case in CASES.items()
]


def check(geometry, at, *only):
    """Of the checks these alone."""
    return tw.testing.check_geometry(geometry, at, leave_out=[name for name in GEOMETRY_BY_NAME if name not in only])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_broken_is_caught_by_the_check_of_it(name):
    case = CASES[name]
    found = check(case.geometry, AT, case.check)[case.check]
    assert (found.status, found.example.dimension, found.example.start) == ("failed", 3, list(AT))
    if "raised" not in found.why:
        assert found.why == GEOMETRY_BY_NAME[case.check].blame
    assert "geometry" in found.example.code and "x = jnp.array([0.48" in found.example.code


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_nothing_else_is_said_of_it(name):
    case = CASES[name]
    report = tw.testing.check_geometry(case.geometry, AT)
    failed = {finding.name for finding in report.failures}
    assert case.check in failed and failed <= {case.check, *case.besides}, report


def points(rng):
    """Geometries of ours, and a point of each without symmetries."""
    own = tw.geometry

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape))

    root = normal(3, 3)
    spd = root @ root.T + 0.5 * jnp.eye(3)
    product = own.Product({"a": own.Sphere(), "b": None, "c": own.PoincareBall()})
    by_label = own.Product({"turned": own.Sphere(), "flat": None}, labels={"a": "turned", "b": "flat"})
    both = {"a": own.Sphere().project(normal(3)), "b": normal(2)}
    return {
        "euclidean": (own.Euclidean(), {"a": normal(2), "b": normal(2, 1)}),
        "sphere": (own.Sphere(), own.Sphere().project(normal(2, 3))),
        "hyperboloid": (own.Hyperboloid(), own.Hyperboloid().project(normal(4))),
        "ball": (own.PoincareBall(), 0.3 * normal(3)),
        "spd": (own.SPD(), spd),
        "canonical": (own.Stiefel(), own.Stiefel().project(normal(5, 3))),
        "euclidean frames": (own.Stiefel("euclidean"), own.Stiefel().project(normal(5, 3))),
        "rotations": (own.Stiefel(), own.Stiefel().project(normal(3, 3))),
        "product": (product, both | {"c": 0.3 * normal(2)}),
        "labels": (by_label, both),
    }


OURS = tuple(points(np.random.default_rng(0)))


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_ours_pass(name, rng):
    report = tw.testing.check_geometry(*points(rng)[name])
    assert report.passed, report
    # Of Stiefel no distances are known; none but flat space is elementwise.
    out = {"elementwise"} if name != "euclidean" else set()
    out |= {"distance", "log"} if "frames" in name or name in ("canonical", "rotations") else set()
    assert {finding.name for finding in report.findings if finding.status == "not checked"} == out


def test_a_metric_of_a_users_own_is_checked_as_far_as_it_goes():
    at = jnp.array([0.5, 1.5, 2.0])
    report = tw.testing.check_geometry(Entropic(), at)
    assert report.passed, report
    passed = [finding.name for finding in report.findings if finding.status == "passed"]
    assert passed == ["form", "dtype", "metric", "gradient", "noise", "divergence", "vmap", "elementwise"]
    assert report["bend"].why == "Entropic is in no surrounding space"
    assert report["distance"].why == "Entropic has no distances"
    # Without its noise's drift a law at a temperature would settle to another density.
    drifting = type("Drifting", (Entropic,), {"divergence": lambda self, x: 0.0 * x})()
    assert [finding.name for finding in tw.testing.check_geometry(drifting, at).failures] == ["divergence"]


def test_the_report_is_that_of_a_method():
    report = check(CASES["a projection"].geometry, AT, "isometric")
    assert report.title == f"Wrong (thalweg): 1 failed, {len(GEOMETRY_CHECKS) - 1} not checked"
    with pytest.raises(AssertionError, match="isometric: transport changes lengths or angles"):
        report.raise_for_failures()
    assert json.loads(json.dumps(report.as_list()))[0]["status"] == "not checked"
    names = {"geometry": CASES["a projection"].geometry, "jax": jax, "jnp": jnp}
    *before, last = report["isometric"].example.code.splitlines()
    exec("\n".join(before), names)
    assert float(eval(last, names)) == pytest.approx(report["isometric"].example.found, rel=1e-12)


@pytest.mark.parametrize(
    ("geometry", "at", "message"),
    [
        ("sphere", AT, "geometry must be one of tw.geometry or of your own, but is 'sphere'"),
        (tw.geometry.Sphere, AT, r"geometry must be an instance: Sphere\(\), not the class"),
        (tw.geometry.Sphere(), 2.0 * AT, "Sphere needs unit vectors along the last axis, but the start has one of"),
        (tw.geometry.Sphere(), "x", "at must hold floating-point arrays, but is 'x'"),
        (tw.geometry.Euclidean(), np.array([np.nan]), "at must be finite"),
        (tw.geometry.Euclidean(), {}, "at must hold floating-point arrays"),
    ],
)
def test_wrong_input_is_one_line(geometry, at, message):
    with pytest.raises(tw.InputError, match=message) as caught:
        tw.testing.check_geometry(geometry, at)
    assert "\n" not in str(caught.value)
    with pytest.raises(tw.InputError, match="check 'bent' is unknown; did you mean 'bend'"):
        tw.testing.check_geometry(tw.geometry.Sphere(), AT, leave_out="bent")
