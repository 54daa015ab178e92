"""The stability map is the linear probe's, its boundary the theory's."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.plot._axes import styles
from thalweg.plot._stability import best_setting, scheme_of

ALIAS = {"momentum": tw.momentum, "nesterov": tw.nesterov, "midpoint_momentum": tw.midpoint_momentum}
LIMIT = {
    "momentum": lambda b: 2 + 2 * b,
    "nesterov": lambda b: (2 + 2 * b) / (1 + 2 * b),
    "midpoint_momentum": lambda b: 2.0 + 0 * b,
}


def _one(ax, gid):
    (line,) = [line for line in ax.lines if line.get_gid() == gid]
    return line


@pytest.mark.parametrize("scheme", list(LIMIT))
def test_the_boundary_is_the_theorys_to_a_pixel(scheme):
    curvature = 3.7
    ax = tw.plot.stability_map(curvature, scheme=scheme)
    ax.figure.draw_without_rendering()
    rates, momenta = (np.asarray(data) for data in _one(ax, "limit").get_data())
    assert (momenta[0], momenta[-1]) == (0.0, 1.0)
    expected = LIMIT[scheme](momenta) / curvature
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    drawn, right = (ax.transData.transform(np.stack([x, momenta], axis=1)) for x in (rates, expected))
    assert np.abs(drawn - right).max() < 1.0
    assert ax.get_xlim()[0] < expected.min() and ax.get_xlim()[1] > expected.max()


@pytest.mark.parametrize("scheme", list(LIMIT))
def test_the_map_is_the_largest_spectral_radius(scheme):
    rates, momenta, spectrum = np.linspace(0.05, 0.9, 7), np.array([0.0, 0.35, 0.8, 1.0]), [0.4, 1.0, 3.0]
    ax = tw.plot.stability_map(spectrum, rates=rates, momenta=momenta, scheme=scheme)
    (mesh,) = [artist for artist in ax.collections if artist.get_gid() == "radius"]
    shown = np.asarray(mesh.get_array()).reshape(4, 7)
    for j, momentum in enumerate(momenta):
        for i, rate in enumerate(rates):
            radius = np.max(tw.analysis.spectral_radius(ALIAS[scheme](None, rate, momentum), spectrum))
            assert shown[j, i] == pytest.approx(min(radius, 0.9999), abs=1e-7)


def test_the_best_setting_is_the_known_one():
    mu, top = 0.05, 2.0
    root = np.sqrt(top / mu)
    alpha, beta = 4 / (np.sqrt(top) + np.sqrt(mu)) ** 2, ((root - 1) / (root + 1)) ** 2
    ax = tw.plot.stability_map([mu, top])
    star = _one(ax, "best")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == pytest.approx((alpha, beta), rel=2e-3)
    wide = np.sqrt(3 * top / mu + 1)
    assert best_setting(tw.nesterov, np.array([mu, top])) == pytest.approx(
        (4 / (3 * top + mu), (wide - 2) / (wide + 2)), rel=2e-3
    )
    radius = np.max(tw.analysis.spectral_radius(tw.momentum(None, star.get_xdata()[0], star.get_ydata()[0]), [mu, top]))
    assert radius == pytest.approx((root - 1) / (root + 1), abs=1e-3)
    assert not any(line.get_gid() == "best" for line in tw.plot.stability_map(top).lines)


def test_the_methods_compared_are_its_points(four):
    looks = styles(four.runs)
    for scheme in ("momentum", "nesterov"):
        names = ["gradient descent", scheme]
        ax = tw.plot.stability_map([1.0, 20.0], scheme=scheme, points=four)
        points = [line for line in ax.lines if line.get_gid() == "point"]
        assert [line.get_color() for line in points] == [looks[name].color for name in names]
        settings = [(line.get_xdata()[0], line.get_ydata()[0]) for line in points]
        np.testing.assert_allclose(settings, [(0.05, 0.0), (0.04, 0.7)], rtol=1e-12, atol=1e-12)
        measured = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "measured"]
        assert measured == [four[name].measured_limit for name in names]
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert labels == ["predicted limit", *names, "limit found by running", "best for curvatures 1 to 20"]


def test_settings_of_ones_own():
    ax = tw.plot.stability_map(1.0, points={"mine": (0.5, 0.9), "yours": (1.0, 0.2)})
    points = [line for line in ax.lines if line.get_gid() == "point"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in points] == [(0.5, 0.9), (1.0, 0.2)]


def test_small_rates_get_a_logarithmic_axis():
    ax = tw.plot.stability_map(1.0, points={"small": (1e-3, 0.9)})
    assert ax.get_xscale() == "log" and ax.get_xlim()[0] < 1e-3
    np.testing.assert_allclose(_one(ax, "limit").get_xdata()[::50], [2.0, 3.0, 4.0], rtol=1e-6)


def test_which_map_a_method_is_on():
    f = lambda x: jnp.sum(x**2)  # noqa: E731
    on = {
        "gradient_descent": tw.gradient_descent(f, 0.1),
        "momentum": tw.momentum(f, 0.1, 0.5),
        "nesterov": tw.nesterov(f, 0.1, 0.5),
        "midpoint_momentum": tw.midpoint_momentum(f, 0.1, 0.5),
    }
    assert {name: scheme_of(method) for name, method in on.items()} == {name: name for name in on}
    assert scheme_of(tw.Method(tw.GradientFlow(f), tw.RK4(), 0.1)) is None
    assert scheme_of(tw.Method(tw.NesterovFlow(f), tw.Leapfrog(), 0.1)) is None
    assert scheme_of(tw.Method(tw.HeavyBall(f, 1.0), tw.Leapfrog(), lambda k: 0.1 / (1 + k))) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curvature": [0.0, 1.0]}, "positive"),
        ({"curvature": []}, "positive"),
        ({"curvature": float("nan")}, "positive"),
        ({"scheme": "nestrov"}, "did you mean 'nesterov'"),
        ({"rates": [0.2, 0.1]}, "increasing"),
        ({"rates": [0.0, 0.1]}, "positive"),
        ({"momenta": [0.5]}, "increasing"),
        ({"momenta": [0.5, 1.5]}, "between 0 and 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(change, message):
    with pytest.raises(tw.InputError, match=message):
        tw.plot.stability_map(**({"curvature": [0.5, 1.0]} | change))
