"""The playground: every number is the library's, and a drag compiles nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._errors import InputError
from thalweg._methods.table import find_row
from thalweg.web import _playground
from thalweg.web._grounds import ground, shipped
from thalweg.web._playground import ROWS, Playground


@pytest.fixture(scope="module")
def playground():
    return Playground(shipped())


def asked(playground, name, settings, problem="quadratic-2d", **more):
    found = playground.answer({"problem": problem, "methods": [{"name": name, "settings": settings}]} | more)
    return found["methods"][0]


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
@pytest.mark.parametrize("rate", [0.3, 3.0, 5.0])
def test_what_is_said_is_what_the_library_says(playground, name, rate):
    found = asked(playground, name, {"learning_rate": rate, "momentum": 0.5})
    problem = tw.problems.get("quadratic-2d")
    method = getattr(tw, name)(problem.objective, rate, 0.5)
    limit = tw.analysis.largest_stable_learning_rate(method, [0.05, 1.0])
    assert abs(found["limit"] - limit) <= 1e-9 * limit and found["limit_of"] == "learning_rate"
    radius = np.max(tw.analysis.spectral_radius(method, [0.05, 1.0]))
    assert abs(found["rate"] - radius) <= 1e-9
    assert (found["regime"] == "diverges") == (rate > limit) == (found["margin"] < 1.0)
    run = tw.run(method, problem.start, 100, record=1, progress=False)
    count = len(found["path"])
    assert np.allclose(found["path"], run.trace.position[:count], rtol=1e-12, atol=0)
    assert count == 101 or rate > limit


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_method_goes_down_from_where_it_is_put(playground, name):
    row = find_row(name)
    found = asked(playground, name, {row.knob: 0.02}, start=[0.5, 0.5], steps=40)
    assert len(found["path"]) == 41 and np.all(np.isfinite(found["path"])) and found["path"][0].tolist() == [0.5, 0.5]
    assert (found["flow"] is None) == bool(found["no_flow"])


@pytest.mark.slow
def test_the_continuous_path_is_the_law_of_motion(playground):
    found = asked(playground, "gradient_descent", {"learning_rate": 0.1}, steps=30)
    problem = tw.problems.get("quadratic-2d")
    law = tw.Method(tw.GradientFlow(problem.objective), tw.Tsit5(), 0.003)
    end = tw.run(law, problem.start, 1000, progress=False).final.position
    assert np.allclose(found["flow"][-1], end, atol=1e-9)


def test_a_sampler_shows_the_law_it_settles_to(playground):
    found = asked(playground, "baoab", {"step_size": 0.5, "friction": 1.0, "temperature": 0.3}, seed=3)
    exact = 0.3 * np.linalg.inv(playground._ground("quadratic-2d").hessian)
    # BAOAB is exact in the position on a quadratic.
    assert np.allclose(found["law"]["own"], exact) and np.allclose(found["law"]["exact"], exact)
    assert found["ran"] == "wandering" and found["flow"] is None
    again = asked(playground, "baoab", {"step_size": 0.5, "friction": 1.0, "temperature": 0.3}, seed=3)
    other = asked(playground, "baoab", {"step_size": 0.5, "friction": 1.0, "temperature": 0.3}, seed=4)
    assert np.array_equal(found["path"], again["path"]) and not np.array_equal(found["path"], other["path"])


def test_a_drag_compiles_nothing(playground, rng):
    methods = [
        {"name": "momentum", "settings": {"learning_rate": 0.3, "momentum": 0.9}},
        {"name": "adam", "settings": {}},
    ]
    playground.answer({"problem": "beale", "methods": methods})
    sizes = [_playground._path._cached._cache_size(), _playground._fine._cached._cache_size()]
    for _ in range(5):
        methods[0]["settings"] = {"learning_rate": float(rng.random()), "momentum": float(rng.random())}
        start = rng.standard_normal(2).tolist()
        playground.answer({"problem": "beale", "methods": methods, "start": start, "steps": int(rng.integers(1, 100))})
    assert [_playground._path._cached._cache_size(), _playground._fine._cached._cache_size()] == sizes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gradient_descent", "momentum", "leapfrog", "rk4"])
def test_the_best_step_is_better_than_those_beside_it(playground, name):
    best = playground.best({"problem": "quadratic-2d", "name": name, "settings": {}})["settings"]
    row, spectrum = find_row(name), [0.05, 1.0]

    def radius(**changed):
        return float(np.max(tw.analysis.spectral_radius(row.build(None, **(best | changed)), spectrum)))

    here = radius()
    for factor in (0.97, 1.03):
        assert here <= radius(**{row.knob: factor * best[row.knob]}) + 1e-9
    if name == "gradient_descent":
        assert abs(best["learning_rate"] - 2.0 / 1.05) < 1e-5
    if name == "momentum":
        assert abs(best["momentum"] - ((1 - 0.05**0.5) / (1 + 0.05**0.5)) ** 2) < 1e-3


def test_a_drag_does_not_wait_for_a_limit_that_is_not_known_yet(playground):
    settings = {"learning_rate": 0.3, "momentum": 0.123}
    found = asked(playground, "momentum", settings, limits=False)
    assert found["pending"] and found["limit"] is None and found["rate"] is not None
    whole = asked(playground, "momentum", settings)
    assert not whole["pending"] and whole["limit"] == pytest.approx(2.246, rel=1e-9)
    assert asked(playground, "momentum", settings, limits=False)["limit"] == whole["limit"]


def test_the_map_has_the_limit_of_the_library(playground):
    found = playground.stability({"problem": "quadratic-2d", "method": "momentum"})
    assert np.allclose(found["limits"], 2.0 + 2.0 * found["momenta"], rtol=1e-6)
    for asked_of in ({"problem": "quadratic-2d", "method": "adam"}, {"problem": "none", "method": "momentum"}):
        with pytest.raises(InputError):
            playground.stability(asked_of)


@pytest.mark.slow
def test_a_method_whose_law_is_not_linear_says_so(playground):
    found = asked(playground, "adam", {"learning_rate": 0.05})
    assert found["limit"] is None and "not linear" in found["regime"]
    with pytest.raises(InputError, match="no step of adam is known to be best"):
        playground.best({"problem": "quadratic-2d", "name": "adam"})


def test_a_path_that_leaves_is_cut_where_it_is_far_away(playground):
    found = asked(playground, "momentum", {"learning_rate": 50.0, "momentum": 0.9}, steps=1000)
    assert 2 <= len(found["path"]) < 100 and np.all(np.isfinite(found["path"])) and found["regime"] == "diverges"
    assert found["end"] is None


@pytest.mark.slow
def test_the_code_is_what_was_shown(playground):
    methods = [{"name": "momentum", "settings": {"learning_rate": 0.3, "momentum": 0.9}}, {"name": "leapfrog"},
               {"name": "nesterov_flow", "settings": {"step_size": 0.2}}]  # fmt: skip
    found = playground.answer({"problem": "quadratic-2d", "methods": methods, "steps": 20, "start": [0.25, -1.5]})
    space = {}
    exec(found["python"].replace("print(", "shown = ("), space)
    for run, one in zip(space["runs"].values(), found["methods"], strict=True):
        assert np.allclose(run.trace.position, one["path"], rtol=1e-12, atol=1e-300)


def test_a_function_of_ones_own_has_two_parameters():
    found = ground("bowl", tw.Objective(lambda x: jnp.sum(jnp.array([1.0, 3.0]) * x**2)), jnp.array([1.0, 2.0]), "...")
    assert found.curvatures.tolist() == [2.0, 6.0] and found.box[0][0] < 1.0 < found.box[0][1]
    with pytest.raises(InputError, match="two parameters"):
        ground("bowl", tw.Objective(lambda x: jnp.sum(x**2)), jnp.ones(3), "...")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(shipped()))
def test_every_landscape_covers_start_and_minimum(playground, name):
    found = playground.landscape(name, aspect=1.5)
    (left, right), (low, high) = found["box"]
    for x, y in (found["start"], found["centre"]):
        assert left < x < right and low < y < high
    assert (right - left) / (high - low) == pytest.approx(1.5)
    values = np.frombuffer(__import__("base64").b64decode(found["values"]), "<f4")
    assert len(values) == found["cells"] ** 2 and np.nanmin(values) >= 0 and np.isfinite(values).any()


@pytest.mark.slow
def test_on_the_sphere_methods_move_along_it(playground):
    methods = [{"name": "momentum", "settings": {"learning_rate": 0.02, "momentum": 0.9}}, {"name": "gradient_descent"}]
    found = playground.answer({"problem": "sphere", "methods": methods, "steps": 400, "start": [-0.8, -0.45]})
    land = playground.landscape("sphere")
    for one in found["methods"]:
        assert np.allclose(one["path"][-1], land["centre"], atol=1e-3) and len(one["path"]) == 401
        assert np.allclose(one["flow"][-1], land["centre"], atol=1e-3)
    space = {}
    exec(found["python"].replace("print(", "shown = ("), space)
    for run, one in zip(space["runs"].values(), found["methods"], strict=True):
        path = run.trace.position
        assert np.allclose(np.linalg.norm(path, axis=1), 1.0)
        seen = path[:, 2] >= 0.0
        assert np.allclose(path[seen, :2], np.asarray(one["path"])[seen], atol=1e-9)
        assert np.all(np.isnan(np.asarray(one["path"])[~seen]))
    limit = found["methods"][1]["limit"]
    assert limit == pytest.approx(2.0 / max(land["curvatures"]), rel=1e-9)
    with pytest.raises(InputError, match="on the sphere there are"):
        playground.answer({"problem": "sphere", "methods": [{"name": "adam"}]})
