"""The page in a browser, live and as a file: what is dragged, drawn, kept in the address, saved and read aloud."""

import json
import time
import urllib.parse
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.web.browser import browser, page, require
from tests.web.door import TOKEN, served

require()

SIZES = [(1440, 900), (800, 600), (360, 740)]


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A run of each kind."""
    runs = tmp_path_factory.mktemp("runs")
    for seed, rate in ((0, 0.05), (1, 0.05), (0, 0.15)):
        start = jnp.array([1.0, 1.0 + 0.1 * seed])
        tw.run(tw.momentum(bowl, rate, 0.8), start, 60, out=runs / f"bowl-{rate}-{seed}", progress=False)
    tw.sweep(
        lambda learning_rate, momentum: tw.momentum(bowl, learning_rate, momentum),
        {"learning_rate": jnp.geomspace(0.01, 0.5, 8), "momentum": jnp.linspace(0.0, 0.9, 4)},
        jnp.ones(2), 30, out=runs / "sweep",
    )  # fmt: skip
    goal = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    tw.measures.flow(goal, tw.measures.Gaussian(2.0, 0.5), 2.0, steps=30, out=runs / "flow")
    with warnings.catch_warnings():
        # Few draws at a long step, which is said.
        warnings.simplefilter("ignore", tw.SamplingWarning)
        tw.sample(tw.sgld(bowl, 0.05, 1.0), jnp.ones(2), 200, chains=2, key=0, out=runs / "samples", progress=False)
    return runs


@pytest.fixture(scope="module")
def port(root):
    with served(root) as port:
        yield port


@pytest.fixture(scope="module")
def opened():
    with browser() as found:
        yield found


def until(live, condition):
    """Wait for an expression of the page's, which its policy forbids Playwright to wait for by itself."""
    for _ in range(600):
        if live.evaluate(condition):
            return
        live.wait_for_timeout(100)
    pytest.fail(f"{condition} has not come")


def at(port, page_name="", **params):
    query = urllib.parse.urlencode(params, doseq=True)
    return f"http://127.0.0.1:{port}/?token={TOKEN}#/{page_name}{'?' + query if query else ''}"


@pytest.fixture
def live(opened, port):
    with page(opened, viewport={"width": 1440, "height": 900}) as found:
        yield found


def test_dragging_past_the_limit_says_that_it_diverges_and_the_limit_is_the_library_s(live, port):
    live.goto(at(port, "playground", f="quadratic-2d", m="momentum:learning_rate=0.3,momentum=0.5"))
    limit = live.locator(".limit").first
    limit.wait_for()
    assert "underdamped" in live.locator(".verdict").first.inner_text()
    box = live.get_by_label("Learning rate and momentum; arrow keys move the point")
    box.wait_for()
    canvas = box.locator("canvas").bounding_box()
    live.mouse.move(canvas["x"] + 0.6 * canvas["width"], canvas["y"] + 0.5 * canvas["height"])
    live.mouse.down()
    live.mouse.move(canvas["x"] + canvas["width"] - 16, canvas["y"] + 0.5 * canvas["height"], steps=5)
    live.mouse.up()
    live.locator(".verdict", has_text="diverges").first.wait_for()
    # The state of the drag is in the address, and a reload shows the same.
    fragment = urllib.parse.parse_qs(live.evaluate("location.hash").partition("?")[2])
    name, _, numbers = fragment["m"][0].partition(":")
    given = {k: float(v) for k, v in (pair.split("=") for pair in numbers.split(","))}
    until(live, "document.querySelector('.limit') !== null")
    live.wait_for_timeout(500)
    shown, exact = limit.inner_text(), float(limit.get_attribute("data-value"))
    expected = tw.analysis.largest_stable_learning_rate(tw.momentum(None, 1.0, given["momentum"]), [0.05, 1.0])
    assert name == "momentum" and given["learning_rate"] > expected
    assert abs(float(shown) - expected) <= 1e-9 * expected and abs(exact - expected) <= 1e-9 * expected
    live.reload()
    live.locator(".verdict", has_text="diverges").first.wait_for()


@pytest.mark.slow
def test_a_drag_of_the_start_and_keys_move_the_path(live, port):
    live.goto(at(port, "playground", f="quadratic-2d", m="gradient_descent:learning_rate=0.5"))
    live.locator(".limit").first.wait_for()
    plane = live.get_by_label("The start; arrow keys move it")
    before = live.evaluate("location.hash")
    box = plane.locator("canvas").bounding_box()
    live.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
    until(live, f"location.hash !== {json.dumps(before)}")
    dragged = live.evaluate("location.hash")
    plane.focus()
    live.keyboard.press("ArrowRight")
    until(live, f"location.hash !== {json.dumps(dragged)}")


@pytest.mark.slow
def test_two_hundred_drags_are_answered_and_the_newest_stands(live, port):
    live.goto(at(port, "playground", f="quadratic-2d", m="momentum:learning_rate=0.3,momentum=0.5"))
    live.locator(".limit").first.wait_for()
    plane = live.get_by_label("The start; arrow keys move it").locator("canvas").bounding_box()
    x, y = plane["x"] + 0.5 * plane["width"], plane["y"] + 0.4 * plane["height"]
    live.mouse.move(x, y)
    live.mouse.down()
    for k in range(200):
        live.mouse.move(x + 80 * np.cos(0.1 * k), y + 80 * np.sin(0.1 * k))
    live.mouse.up()
    live.wait_for_timeout(1500)
    start = [
        float(v) for v in urllib.parse.parse_qs(live.evaluate("location.hash").partition("?")[2])["x"][0].split(",")
    ]
    live.get_by_text("as Python").first.click()
    code = live.locator("pre code").first.inner_text()
    assert f"start = jnp.array({start})" in code


@pytest.mark.slow
def test_a_live_run_s_curve_grows(live, port, root):
    recorder = tw.Recorder(root / "going-on", tw.Hyperparameters(0.1), objective="a loop")
    for k in range(20):
        recorder.log(loss=1.0 / (k + 1.0))
    time.sleep(1.5)
    live.goto(at(port, "run", run="going-on"))
    live.locator(".chart canvas").first.wait_for()
    points = "Math.max(...[...document.querySelectorAll('.chart')].map((c) => c.chart.curves[0]?.x.length || 0))"
    until(live, f"{points} >= 20")
    for k in range(20, 60):
        recorder.log(loss=1.0 / (k + 1.0))
    until(live, f"{points} >= 60")
    recorder.close()
    live.get_by_text("finished").first.wait_for()


@pytest.mark.slow
def test_a_selection_survives_a_reload_and_is_compared(live, port):
    live.goto(at(port, "runs"))
    live.get_by_label("Select bowl-0.05-0").check()
    live.get_by_label("Select bowl-0.05-1").check()
    live.get_by_label("Select bowl-0.15-0").check()
    live.get_by_label("Filter").fill("bowl-")
    live.reload()
    assert live.get_by_label("Select bowl-0.05-1").is_checked() and live.get_by_label("Filter").input_value() == "bowl-"
    assert live.locator("tbody tr").count() == 3
    live.get_by_role("button", name="compare 3").click()
    # Two of them differ in their start alone: one curve with a band.
    live.get_by_text("learning rate 0.05 (2 seeds)").first.wait_for()
    live.get_by_text("Gradients to a tolerance").wait_for()
    live.locator("table tbody tr").nth(2).wait_for()
    rows = live.locator("table tbody tr").all_inner_texts()
    expected = tw.compare_runs([root_of(live, port, name) for name in ("bowl-0.05-0",)])
    assert any(str(expected.entries[0].gradients) in row for row in rows if "bowl-0.05-0" in row)


def root_of(live, port, name):
    del port
    code = live.evaluate("""(id) => T.ask('run', { id }).then((run) => run.python)""", name)
    return code.split("(")[1].split(")")[0].strip("'")


@pytest.mark.slow
def test_the_slider_moves_the_density_and_its_place_is_kept(live, port):
    live.goto(at(port, "run", run="flow"))
    frame = live.locator("canvas[data-frame]")
    frame.wait_for()
    before = frame.evaluate("(canvas) => canvas.toDataURL()")
    slider = live.get_by_role("slider", name="time")
    slider.fill("0")
    assert frame.get_attribute("data-frame") == "0"
    first = frame.evaluate("(canvas) => canvas.toDataURL()")
    assert first != before
    live.reload()
    frame.wait_for()
    assert frame.get_attribute("data-frame") == "0"
    assert frame.evaluate("(canvas) => canvas.toDataURL()") == first


@pytest.mark.slow
def test_downloads_are_real_files(live, port, root):
    live.goto(at(port, "run", run="bowl-0.05-0"))
    live.locator(".chart canvas").first.wait_for()
    live.wait_for_timeout(300)
    found = {}
    for kind in ("PNG", "SVG", "CSV"):
        with live.expect_download() as waiting:
            live.get_by_role("button", name=kind, exact=True).first.click()
        found[kind] = (waiting.value.suggested_filename, Path(waiting.value.path()).read_bytes())
    assert found["PNG"][0].endswith(".png") and found["PNG"][1][:8] == b"\x89PNG\r\n\x1a\n"
    assert found["SVG"][1].startswith(b"<svg xmlns") and found["SVG"][1].count(b"<path") > 3
    rows = [row.split(",") for row in found["CSV"][1].decode().strip().split("\n")]
    metrics = tw.Run.load(root / "bowl-0.05-0").metrics
    assert rows[0] == ["curve", "step", "loss"]
    assert np.array_equal([float(row[2]) for row in rows[1:]], metrics["loss"])


PAGES = {
    "runs": {}, "run": {"run": "bowl-0.05-0"}, "compare": {"run": ["bowl-0.05-0", "bowl-0.05-1", "bowl-0.15-0"]},
    "sweep": {"run": "sweep"}, "flow": {"run": "flow"}, "samples": {"run": "samples"},
    "playground": {"f": "quadratic-2d", "m": "momentum:learning_rate=0.3,momentum=0.9"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_read_aloud_without_serious_fault_and_fits(opened, port, name, theme):
    from axe_playwright_python.sync_playwright import Axe

    where = "run" if name in ("sweep", "flow", "samples") else name
    with page(opened, color_scheme=theme) as found:
        for width, height in SIZES:
            found.set_viewport_size({"width": width, "height": height})
            found.goto(at(port, where, **PAGES[name]))
            found.reload()
            found.wait_for_load_state("networkidle") if name == "playground" else found.locator("h1").wait_for()
            found.wait_for_timeout(2500)
            # Nothing but what scrolls inside itself is wider than the window.
            assert found.evaluate("document.documentElement.scrollWidth") <= width
            assert not found.locator("[role=alert]").count(), found.locator("[role=alert]").all_inner_texts()
        faults = [f for f in Axe().run(found).response["violations"] if f["impact"] in ("serious", "critical")]
        assert not faults, [(f["id"], [n["html"][:120] for n in f["nodes"]]) for f in faults]


def test_a_file_shows_all_of_it_without_a_server(opened, root, tmp_path):
    file = tw.web.write_page(root, tmp_path / "report.html", "All of <them>")
    assert file.stat().st_size < 1.5e6
    with page(opened, viewport={"width": 1440, "height": 900}, offline=True) as found:
        found.goto(f"file://{file}")
        found.locator(".chart canvas").first.wait_for()
        assert found.locator("#brand").inner_text() == "All of <them>"
        found.get_by_text("Gradients to a tolerance").wait_for()
        found.goto(f"file://{file}#/run?run=flow")
        frame = found.locator("canvas[data-frame]")
        frame.wait_for()
        last = frame.evaluate("(canvas) => canvas.toDataURL()")
        found.get_by_role("slider", name="time").fill("0")
        assert frame.evaluate("(canvas) => canvas.toDataURL()") != last
        found.goto(f"file://{file}#/run?run=samples")
        found.get_by_text("x[0]: marginal").wait_for()
        found.goto(f"file://{file}#/run?run=sweep")
        found.get_by_text("32 settings").wait_for()
        with found.expect_download() as waiting:
            found.get_by_role("button", name="CSV", exact=True).first.click()
        assert len(Path(waiting.value.path()).read_text().strip().split("\n")) == 33


@pytest.mark.slow
def test_a_name_that_is_html_is_text(opened, port, root):
    name = "<img src=x onerror=alert(1)>"
    with tw.Recorder(root / name, tw.Hyperparameters(0.5), objective="<script>alert(2)</script>") as recorder:
        recorder.log(loss=1.0)
    with page(opened) as found:
        found.on("dialog", lambda dialog: pytest.fail(dialog.message))
        for where, params in (("runs", {}), ("run", {"run": name}), ("compare", {"run": [name]})):
            found.goto(at(port, where, **params))
            found.reload()
            found.get_by_text(name).first.wait_for(state="attached")
            assert not found.locator("img").count()
