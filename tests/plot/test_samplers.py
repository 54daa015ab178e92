"""Pictures of samplers: points are the comparison's, paths end where samples do, the page stands by itself."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.pages import Page, fetches_nothing, ids_are_unique


@pytest.fixture(scope="module")
def result():
    problem = tw.problems.diffusion("mixture-diffusion")
    return tw.networks.compare_samplers(problem, ["ddim", "ancestral"], [8, 16], draws=100)


def test_panels_hold_the_points(result):
    for ax, name in zip(result.plot(), ("from_flow", "bias", "from_data"), strict=True):
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        lines = [line for line in ax.lines if line.get_gid() != "floor"]
        for sampler, line in zip(result.samplers, lines, strict=True):
            known = [getattr(p, name) for p in result.of(sampler) if getattr(p, name) is not None]
            assert list(line.get_ydata()) == known and len(known) == (
                0 if sampler + name == "ancestralfrom_flow" else 2
            )
    (floor,) = [line for line in ax.lines if line.get_gid() == "floor"]
    assert floor.get_ydata()[0] == result.floor
    with pytest.raises(tw.InputError, match="three Axes"):
        tw.plot.samplers(result, ax)


def test_saved(result, tmp_path):
    data, picture = result.save(tmp_path / "new")
    assert json.loads(data.read_text())["points"] == result.as_list()
    assert picture.read_text().startswith("<?xml")


def test_samples_on_their_way_keep_their_place_among_the_densities():
    """Of Gaussian data a sample is as many standard deviations from the mean at every time."""
    noising, data = tw.networks.VariancePreserving(), tw.networks.GaussianMixture(jnp.array([1.0]), 0.3)
    times = tw.networks.time_grid(noising, 200, start=0.9)
    method = tw.networks.sampler("rk4", noising, data.denoiser(noising), times)
    lines = [line for line in tw.plot.diffusion(method, data, count=3).lines if line.get_gid() == "sample"]
    assert len(lines) == 3
    for line in lines:
        y = line.get_ydata()
        assert len(y) == 201
        np.testing.assert_allclose(y, y[0], atol=1e-3)


def test_in_the_plane_dots_are_where_samples_end():
    problem = tw.problems.diffusion("moons-diffusion")
    times = tw.networks.time_grid(problem.noising, 10)
    method = tw.networks.sampler("ddim", problem.noising, problem.data.denoiser(problem.noising), times)
    ax = tw.plot.diffusion(method, problem.data, count=4, key=2)
    samples = [line.get_xydata() for line in ax.lines if line.get_gid() == "sample"]
    np.testing.assert_array_equal(ax.lines[-1].get_xydata(), [path[-1] for path in samples])
    wide = tw.networks.GaussianMixture(jnp.eye(3), 0.1)
    method = tw.networks.sampler("ddim", problem.noising, wide.denoiser(problem.noising), times)
    assert "first direction" in tw.plot.diffusion(method, wide, count=2).get_xlabel()


def test_what_cannot_be_drawn():
    data = tw.networks.GaussianMixture(jnp.array([1.0]), 0.3)
    law = tw.ProbabilityFlow(tw.networks.VariancePreserving(), lambda t, x: -x)
    with pytest.raises(tw.InputError, match="the law is GradientFlow"):
        tw.plot.diffusion(tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1), data)
    for method in (tw.Method(law, tw.Euler(), 0.1), tw.Method(law, tw.Euler(), times=jnp.array([0.1, 0.2]))):
        with pytest.raises(tw.InputError, match="times that go down"):
            tw.plot.diffusion(method, data)


def test_the_page(result, tmp_path):
    page = Page(result.report(tmp_path / "page.html", title="a <b> title"))
    fetches_nothing(page)
    ids_are_unique(page)
    assert "a <b> title" in page.words and "ancestral" in page.words
    cells = [[value for value, _ in row] for row in page.rows[1:]]
    assert len(cells) == 4
    for row, point in zip(cells, result.points, strict=True):
        kept = [float(value) for value in row if value is not None]
        assert kept == [v for v in (point.from_flow, point.order, point.from_data, point.bias) if v is not None]


def test_the_page_as_jax_comes(tmp_path):
    """What is compared in float64 is drawn in it, whatever the setting."""
    with jax.enable_x64(False):
        problem = tw.problems.diffusion("moons-diffusion")
        found = tw.networks.compare_samplers(problem, ["ddim"], [4], draws=20)
        assert found.report(tmp_path / "page.html").stat().st_size > 10_000
