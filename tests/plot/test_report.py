"""One page, opened without a network, that says what the comparison holds."""

import re
import time

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.pages import Page, fetches_nothing, ids_are_unique

EVIL = "<script>alert('x')</script> & \"quoted\" $x_1$"


def _report(comparison, folder, title="Comparison"):
    path = comparison.report(folder / "report.html", title)
    assert path == folder / "report.html" and path.stat().st_size < 3e6
    return Page(path)


@pytest.fixture(scope="module")
def page(four, tmp_path_factory):
    return _report(four, tmp_path_factory.mktemp("report"), EVIL)


def test_nothing_is_fetched_and_ids_are_unique(page):
    fetches_nothing(page)
    ids_are_unique(page)


def test_the_title_is_escaped(page):
    assert page.words.count(" ".join(EVIL.split())) == 2  # <title> and <h1>
    assert "<script" not in page.source and len(page.of("h1")) == 1


def test_both_curves_are_chosen_by_labelled_radio_buttons(page):
    radios = page.of("input")
    assert [radio["type"] for radio in radios] == ["radio", "radio"]
    assert len({radio["name"] for radio in radios}) == 1 and "checked" in radios[0]
    assert [page.labels[radio["id"]] for radio in radios] == ["against gradients", "against physical time"]
    assert len([a for a in page.of("div") if "panel" in a.get("class", "")]) == 2
    assert any(a.get("role") == "radiogroup" and a.get("aria-label") for a in page.of("div"))


def test_the_figures(page, four):
    pictures = page.of("svg")
    assert len(pictures) == 5 and all(p["role"] == "img" and p["aria-label"] for p in pictures)
    assert page.words.count("How to read") == 4
    assert page.of("h3") and "Momentum" in page.words and "Nesterov" in page.words
    assert "currentColor" in page.source and "#010203" not in page.source
    assert "prefers-color-scheme: dark" in page.source and "max-width" in page.source
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")


def test_the_tables_numbers_are_the_entries(page, four):
    head, *rows = page.rows
    assert len(head) == 9 and len(rows) == len(four.entries)
    for row, entry in zip(rows, four.entries, strict=True):
        (_, name), (_, settings), gradients, steps, ms, loss, (_, regime), predicted, measured = row
        assert name == entry.method and regime == entry.regime
        assert settings.startswith("learning rate 0.0")
        assert int(gradients[0]) == entry.gradients and gradients[1].startswith(">") is not entry.reached
        assert int(steps[0]) == entry.steps
        assert float(ms[0]) == pytest.approx(1e3 * entry.seconds, rel=1e-12)
        assert float(loss[0]) == entry.loss
        assert float(predicted[0]) == entry.predicted_limit and float(measured[0]) == entry.measured_limit
        difference = float(re.search(r"\(([+−][\d.e]+) %\)", measured[1])[1].replace("−", "-"))
        assert difference == pytest.approx(100 * (entry.measured_limit / entry.predicted_limit - 1), abs=1e-3)


def test_the_summary_is_computed(page, four):
    best = min((e for e in four.entries if e.reached), key=lambda e: e.gradients)
    assert f"{best.method} met it with the fewest gradients, {best.gradients};" in page.words
    assert "rk4 did not meet it within the budget." in page.words
    assert "4 methods went down the same function of 2 parameters" in page.words


def test_the_environment(page):
    import jax

    assert f"thalweg {tw.__version__}, jax {jax.__version__}" in page.words
    assert re.search(r"run on \d{4}-\d\d-\d\d \d\d:\d\d", page.words)


def _bowl(x, curvatures):
    # One function for all cases, so that what is compiled for one serves the next.
    return 0.5 * jnp.sum(curvatures * x**2)


def _quadratic(d, **facts):
    facts = {"minimum": 0.0, "strong_convexity": 1.0} | facts
    return tw.Objective(_bowl, jnp.linspace(1.0, 20.0, d), minimiser=jnp.zeros(d), **facts)


def _compare(methods, d, **options):
    options = {"limits": False, "record": 1} | options
    return tw.compare(methods, jnp.linspace(1.0, 0.5, d), 1e-6, 60, progress=False, **options)


def _names():
    f = _quadratic(2)
    names = (EVIL, "_hidden", "$", "ünïcödé 数", "a\nb")
    return _compare({name: tw.gradient_descent(f, 0.01 * (i + 1)) for i, name in enumerate(names)}, 2)


def _twelve():
    f, found = _quadratic(2), {}
    for beta in (0.0, 0.2, 0.4, 0.6, 0.8, 0.9):
        found |= {f"momentum {beta}": tw.momentum(f, 0.03, beta), f"nesterov {beta}": tw.nesterov(f, 0.03, beta)}
    return _compare(found, 2)


def _all_diverge():
    f = _quadratic(2)
    return _compare({"a": tw.gradient_descent(f, 0.2), "b": tw.momentum(f, 0.4, 0.5)}, 2)


def _not_a_number():
    # Past the end of the logarithm's domain the loss is not a number.
    f = tw.Objective(lambda x: jnp.sum(x - jnp.log(x)), minimum=2.0, minimiser=jnp.ones(2))
    return tw.compare({"out": tw.gradient_descent(f, 5.0), "in": tw.gradient_descent(f, 0.2)}, jnp.array([0.4, 2.5]),
                      1e-6, 60, limits=False, record=1, progress=False)  # fmt: skip


def _gd(objective, start, **options):
    options = {"limits": False, "record": 1} | options
    return tw.compare({"gd": tw.gradient_descent(objective, 0.05)}, start, 1e-6, 60, progress=False, **options)


def _one_of_first_order():
    f = _quadratic(2, minimum=None, strong_convexity=None)
    return _compare({"heun": tw.Method(tw.GradientFlow(f), tw.Heun(), 0.05)}, 2)


def _no_curvature():
    return _gd(tw.Objective(jnp.sum, minimiser=jnp.zeros(2)), jnp.ones(2))


CASES = {
    "names that want escaping": (_names, 5, []),
    "one parameter": (lambda: _gd(_quadratic(1), jnp.ones(1)), 4, ["no plane to draw paths in"]),
    "650 parameters": (lambda: _gd(_quadratic(650), jnp.ones(650)), 5, ["of 650"]),
    "one method, first order, unknown minimum": (
        _one_of_first_order,
        5,
        ["One method", "no minimum is known", "the maps are for information", "heun: on no map", "no best setting"],
    ),
    "positions not kept": (lambda: _gd(_quadratic(2), jnp.ones(2), record=0), 4, ["tw.compare(..., record=1)"]),
    "all diverge": (_all_diverge, 4, ["a and b diverged."]),
    "not a number": (_not_a_number, 5, ["out diverged."]),
    "twelve methods": (_twelve, 5, ["12 methods"]),
    "a start at the minimum": (lambda: _gd(_quadratic(2), jnp.zeros(2)), 5, ["met it after 0 gradients"]),
    "no curvature": (_no_curvature, 3, ["gives no limit to draw"]),
}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c in ("all diverge", "no curvature") else pytest.mark.slow) for c in CASES]
)
def test_edge_cases(case, tmp_path):
    make, figures, words = CASES[case]
    comparison = make()
    page = _report(comparison, tmp_path)
    fetches_nothing(page)
    ids_are_unique(page)
    assert len(page.of("svg")) == figures
    assert len(page.of("input")) == 2
    for word in words:
        assert word in page.words
    names = [row[0][1] for row in page.rows[1:]]
    assert names == list(comparison.runs)
    finite = [float(row[5][0]) for row in page.rows[1:]]
    assert np.array_equal(finite, [entry.loss for entry in comparison.entries], equal_nan=True)
    assert "nan" not in "".join(re.findall(r'\bd="([^"]*)"', page.source)).lower()


@pytest.fixture
def words_only(monkeypatch):
    """Pages without their figures, where only the file matters."""
    for part in ("_curves", "_paths", "_maps"):
        monkeypatch.setattr(f"thalweg.plot.report.{part}", lambda comparison: "")


def test_it_is_written_whole_or_not_at_all(mixed, tmp_path, monkeypatch, words_only):
    path = mixed.report(tmp_path / "new" / "deep" / "report.html", "first")
    before = path.read_text()
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(tw.InputError, match="is a directory"):
        mixed.report(tmp_path / "new")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match=r"could not write .* No space left on device"):
        mixed.report(path, "second")
    assert path.read_text() == before and [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_it_is_the_same_every_time(page, four, tmp_path):
    again = _report(four, tmp_path, EVIL)
    one, two = (re.sub(r"run on [\d: -]+", "", found.source) for found in (page, again))
    assert one == two


def test_the_date_is_the_runs(valley, tmp_path, words_only):
    import os

    methods = {"gd": tw.gradient_descent(valley, 0.05)}
    result = tw.compare(methods, jnp.ones(2), 1e-6, 5, limits=False, progress=False, out=tmp_path / "runs")
    then = time.mktime((2024, 2, 29, 12, 34, 0, 0, 0, -1))
    os.utime(tmp_path / "runs" / "gd" / "env.json", (then, then))
    assert "run on 2024-02-29 12:34" in _report(result, tmp_path).words


@pytest.mark.slow
def test_digits(tmp_path):
    problem = tw.problems.get("digits").solved()
    f = problem.objective
    methods = {
        "gradient descent": tw.gradient_descent(f, 1.36),
        "rk4": tw.Method(tw.GradientFlow(f), tw.RK4(), 2.7),
        "momentum": tw.momentum(f, 1.36, 0.9),
        "nesterov": tw.nesterov(f, 1.36, 0.9),
    }
    result = tw.compare(methods, problem.start, 1e-4, 1000, limits=False, record=1, progress=False)
    page = _report(result, tmp_path)
    assert len(page.of("svg")) == 5
