"""The page of a flow: its shapes are the run's, in the axes that matplotlib drew, and its script moves them."""

import base64
import io
import json
import re
import shutil
import subprocess

import jax.numpy as jnp
import matplotlib
import matplotlib.image
import numpy as np
import pytest

import thalweg as tw
from tests.pages import Page, fetches_nothing, ids_are_unique
from thalweg.measures import KL, Gaussian, Grid, Particles, Potential, Quantiles, flow

EVIL = "</script><script>alert('x')</script> & \"quoted\""
START = Gaussian(jnp.array([1.0, -0.5]), jnp.array([[0.3, 0.1], [0.1, 0.2]]))
TARGET = Gaussian(jnp.array([-1.0, 0.5]), jnp.eye(2))


@pytest.fixture(scope="module")
def line():
    start = Gaussian(1.0, 0.2)
    q = Grid.of(lambda x: jnp.exp(start.log_density(x)), np.linspace(-4.0, 4.0, 41))
    return flow(KL(Gaussian(-0.5, 0.6)), q, 1.0, steps=8)


@pytest.fixture(scope="module")
def points():
    return flow(KL(Gaussian(-0.5, 0.6)), Particles.of(Gaussian(1.0, 0.2), 25, 0), 1.0, steps=16, key=0)


@pytest.fixture(scope="module")
def plane():
    edges = (np.linspace(-4.0, 4.0, 25), np.linspace(-3.0, 3.0, 19))
    return flow(KL(TARGET), Grid.of(lambda x: jnp.exp(START.log_density(x)), edges), 0.5, steps=4)


@pytest.fixture(scope="module")
def weighted():
    drawn = Particles.of(Gaussian(jnp.zeros(2), jnp.eye(2)), 30, 0)
    known = jnp.asarray([float(Gaussian(jnp.zeros(2), jnp.eye(2)).log_density(x)) for x in drawn.positions])
    q = Particles(drawn.positions, log_density=known)
    return flow(KL(TARGET), q, 1.0, geometry=tw.geometry.FisherRao(), steps=4)


def written(run, folder, **options):
    path = tw.plot.write_flow_report(run, folder / "flow.html", **options)
    assert path == folder / "flow.html"
    page = Page(path)
    fetches_nothing(page, scripts=2)
    ids_are_unique(page)
    return page, json.loads(re.search(r'id="frames">(.*?)</script>', page.source, re.DOTALL)[1])


def numbers(path):
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", path)]


def box(page):
    """The corners of the axes as matplotlib drew them: the second path that is not filled."""
    svg = page.source[page.source.index("<svg") :]
    found = numbers(re.findall(r'<path d="([^"]*)" style="fill: none"/>', svg)[1])
    return found[0], found[2], found[5], found[1]


def centres(path):
    """The middles and radii of circles."""
    found = np.array(re.findall(r"M(\S+) (\S+?)a(\S+) ", path), dtype=float)
    return found[:, 0] + found[:, 2], found[:, 1], found[:, 2]


def test_a_curve_on_the_line_is_the_density_in_the_axes(line, tmp_path):
    page, told = written(line, tmp_path)
    frames, densities = told["frames"], np.asarray(line.trace.position.density)
    assert len(frames) == 9 and "dots" in frames[0] and frames[0]["dots"] == ""
    left, right, top, bottom = box(page)
    for frame, density in zip(frames, densities, strict=True):
        ups = np.array(re.findall(r"V([\d.]+)H([\d.]+)", frame["curve"]), dtype=float)
        np.testing.assert_allclose(ups[:, 1], left + (right - left) * np.arange(1, 41) / 40, atol=0.06)
        height = (bottom - ups[:, 0]) / (bottom - top) * 1.05 * densities.max()
        np.testing.assert_allclose(height, density, atol=0.06 / (bottom - top) * 1.05 * densities.max())
    # What stands there without a script, or before it.
    (curve,) = (attrs for attrs in page.of("path") if attrs.get("id") == "curve")
    assert curve["d"] == frames[-1]["curve"]
    assert frames[-1]["words"] in page.words and frames[-1]["words"].startswith("time 1, free energy ")


def test_the_slider_is_hidden_where_there_is_no_script(line, tmp_path):
    page, told = written(line, tmp_path, title=EVIL, frames=5)
    (slider,) = page.of("input")
    assert (slider["type"], slider["min"], slider["max"], slider["value"]) == ("range", "0", "4", "4")
    assert len(told["frames"]) == 5 and page.labels["slider"] == "time"
    (controls,) = (attrs for attrs in page.of("div") if attrs.get("id") == "controls")
    assert "hidden" in controls
    assert page.words.count(" ".join(EVIL.split())) == 2 and len(page.of("h1")) == 1
    assert "a grid (40 cells on [-4, 4]) moves in Wasserstein's geometry" in page.words


def test_particles_stand_over_the_density_of_a_grid_at_the_nearest_time(line, points, tmp_path):
    page, told = written(line, tmp_path, particles=points)
    left, right, top, bottom = box(page)
    positions = np.asarray(points.trace.position.positions)[::2, :, 0]
    for frame, x in zip(told["frames"], positions, strict=True):
        found, up, sizes = centres(frame["dots"])
        np.testing.assert_allclose(found, left + (right - left) * (x + 4.0) / 8.0, atol=0.11)
        # In a band of their own, each always at one height.
        height = (bottom - up) / (bottom - top)
        assert (height > 0.01).all() and (height < 0.08).all()
        np.testing.assert_allclose(up, centres(told["frames"][0]["dots"])[1], atol=0.06)
        assert (sizes == 2.0).all()
    assert "areas as their weights" in page.words


def test_a_picture_of_the_plane_is_the_density_in_the_axes(plane, tmp_path):
    page, told = written(plane, tmp_path)
    left, right, top, bottom = box(page)
    (image,) = page.of("image")
    place = [float(image[name]) for name in ("x", "y", "width", "height")]
    np.testing.assert_allclose(place, [left, top, right - left, bottom - top], atol=0.11)
    # As wide a unit on both axes.
    assert (right - left) / 8.0 == pytest.approx((bottom - top) / 6.0, rel=1e-4)
    assert image["href"] == told["frames"][-1]["picture"]
    for frame, density in zip(told["frames"], np.asarray(plane.trace.position.density), strict=True):
        data = base64.b64decode(frame["picture"].removeprefix("data:image/png;base64,"))
        pixels = matplotlib.image.imread(io.BytesIO(data))[::-1].swapaxes(0, 1)
        # In the middles of pixels.
        middles = 2 * np.arange(96) + 1
        cells = np.ix_(middles * 24 // 192, middles * 18 // 192)
        expected = matplotlib.colormaps["viridis"]((density / density.max())[cells])
        np.testing.assert_allclose(pixels[..., :3], expected[..., :3], atol=1.5 / 255)


def test_weights_are_the_areas_and_the_smoothed_picture_holds_all_the_mass(weighted, tmp_path):
    page, told = written(weighted, tmp_path)
    first, last = (centres(told["frames"][i]["dots"])[2] for i in (0, -1))
    weights = np.asarray(weighted.final.position.weights)
    assert (first == 2.0).all()
    np.testing.assert_allclose(last, 2.0 * np.sqrt(30 * weights), atol=0.06)
    from thalweg.plot._frames import Place, corners, raster

    q = weighted.final.position
    low, high = corners([q])
    place = Place(None, low - 3.0, high + 3.0)
    pixel = np.prod((high - low + 6.0) / 96)
    density = raster(q, place)
    assert density.sum() * pixel == pytest.approx(1.0, abs=1e-3)
    x = low[0] - 3.0 + (high[0] - low[0] + 6.0) * (np.arange(96) + 0.5) / 96
    assert (density.sum(axis=1) @ x) * pixel == pytest.approx(float(q.mean[0]), abs=0.05)
    del page


@pytest.mark.parametrize(
    "start", [Gaussian(0.0, 1.0), Quantiles(jnp.linspace(-1.0, 2.0, 12)), START], ids=["gaussian", "quantiles", "plane"]
)
def test_other_distributions_are_drawn(start, tmp_path):
    target = TARGET if start.dimension == 2 else Gaussian(-0.5, 0.6)
    _, told = written(flow(KL(target), start, 0.5, steps=4), tmp_path)
    shapes = {name for name, shape in told["frames"][0].items() if shape}
    dotted = {"dots"} if isinstance(start, Quantiles) else set()
    assert shapes == {"curve" if start.dimension == 1 else "picture", "words"} | dotted


def test_the_marks_of_the_charts_are_at_the_times_of_the_slider(line, tmp_path):
    page, told = written(line, tmp_path)
    assert len(told["now"]) == 2 and len(page.of("svg")) == 3
    for k, places in enumerate(told["now"]):
        (mark,) = (attrs for attrs in page.of("line") if attrs["id"] == f"now-{k}")
        assert float(mark["x1"]) == float(mark["x2"]) == places[-1]
        # Times are even here.
        np.testing.assert_allclose(np.diff(places), (places[-1] - places[0]) / 8, atol=0.11)
    # The first chart ends where its line ends: the line's first and last points.
    svg = re.findall(r"<svg.*?</svg>", page.source, re.DOTALL)[1]
    course = next(d for d in re.findall(r'd="([^"]*)" clip-path', svg) if len(numbers(d)) == 2 * 9)
    assert (told["now"][0][0], told["now"][0][-1]) == pytest.approx((numbers(course)[0], numbers(course)[-2]), abs=0.06)


def test_where_the_entropy_is_noise_the_energy_is_of_the_rest(points, tmp_path):
    page, told = written(points, tmp_path)
    assert len(told["now"]) == 1 and "Dissipation: not drawn, dissipation needs the metric" in page.words
    assert "energy without the entropy" in told["frames"][0]["words"]


def test_what_has_no_value_says_so_instead_of_a_chart(tmp_path):
    run = flow(KL(Gaussian(0.0, 1.0)), Gaussian(1.0, 1.0), 0.5, steps=4, record=tw.Record((), positions=1))
    page, told = written(run, tmp_path)
    assert told["now"] == [] and "Free energy: not drawn" in page.words and "Dissipation: not drawn" in page.words
    assert "energy" not in told["frames"][0]["words"]


NODE = """
const fs = require("fs"), given = JSON.parse(fs.readFileSync(0)), parts = {};
const part = (id) => parts[id] ??= {attributes: {}, listeners: {}, setAttribute(n, v) { this.attributes[n] = v; },
  addEventListener(n, f) { this.listeners[n] = f; }};
part("frames").textContent = given.frames; part("slider").value = given.value; part("controls").hidden = true;
const absent = given.absent;
let tick = null;
new Function("document", "setInterval", "clearInterval", given.script)(
  {getElementById: (id) => absent.includes(id) ? null : part(id)}, (f) => (tick = f, 1), () => { tick = null; });
const seen = [], look = () => seen.push({words: parts.words.textContent, curve: part("curve").attributes.d,
  dots: part("dots").attributes.d, now: part("now-0").attributes.x1, told: parts.slider.attributes["aria-valuetext"],
  hidden: parts.controls.hidden, play: parts.play.textContent});
look();
for (const i of given.visits) { parts.slider.value = String(i); parts.slider.listeners.input(); look(); }
parts.play.listeners.click(); look();
let turns = 0;
while (tick && turns < 100) { tick(); turns += 1; }
look();
console.log(JSON.stringify({seen, turns}));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_shows_the_time_of_the_slider_and_plays_to_the_end(line, points, tmp_path):
    page, told = written(line, tmp_path, particles=points)
    script = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)[0]
    given = {"frames": json.dumps(told), "value": "8", "absent": ["picture"], "script": script, "visits": [0, 3, 8]}
    found = subprocess.run(
        ["node", "-e", NODE], input=json.dumps(given), capture_output=True, text=True, check=True, timeout=60
    )
    result = json.loads(found.stdout)
    for at, seen in zip((8, 0, 3, 8, 0, 8), result["seen"], strict=True):
        frame = told["frames"][at]
        assert (seen["words"], seen["curve"], seen["dots"]) == (frame["words"], frame["curve"], frame["dots"])
        assert seen["now"] == told["now"][0][at] and seen["told"] == frame["words"] and seen["hidden"] is False
    # Played from the start, as it stood at the end.
    assert result["turns"] == 8 and result["seen"][-2]["play"] == "stop" and result["seen"][-1]["play"] == "play"


REFUSED = {
    "keeps no distributions": lambda line, points: dict(
        run=flow(Potential(lambda x: x[0] ** 2), Particles([1.0, 2.0]), 1.0, steps=2, record=None)
    ),
    "position of this run is none": lambda line, points: dict(
        run=tw.run(tw.gradient_descent(lambda x: x @ x, 0.1), jnp.ones(2), 2)
    ),
    "must be a run of tw.measures.Particles": lambda line, points: dict(run=line, particles=line),
    "must have 2 coordinates": lambda line, points: dict(run=flow(KL(TARGET), START, 0.1, steps=2), particles=points),
    "is a directory": lambda line, points: dict(run=line, path="."),
    "frames must be": lambda line, points: dict(run=line, frames=0),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_drawn_is_refused_in_one_line(words, line, points, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tw.InputError, match=words) as raised:
        tw.plot.write_flow_report(**{"path": "flow.html"} | REFUSED[words](line, points))
    assert "\n" not in str(raised.value) and list(tmp_path.iterdir()) == []
