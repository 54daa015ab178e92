"""Weak and strong order of every row with white noise, by exact linear laws; those by closed forms and by draws."""

import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import noise_order

ROWS = [row for row in tw.table() if row.method.normals and isinstance(row.dynamics, tw.dynamics.AbstractWhite)]
LINEAR = [row for row in ROWS if not row.scheme.exact_law and row.name != "replica_exchange"]
# Half a noise of a step away from the path of the law.
STRONG = {"leimkuhler_matthews": 0.5}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in LINEAR])
def test_every_noisy_row_has_the_weak_order_it_declares(row):
    found = noise_order(row.method, curvature=1.7, horizon=1.3, start=0.8)
    assert found.weak == pytest.approx(row.order, abs=0.05)
    assert found.strong == pytest.approx(STRONG.get(row.name, 1.0), abs=0.05)


def test_euler_maruyama_in_closed_form_and_drawn():
    """x+ = (1 - h l) x + sqrt(2Th) R beside Ornstein and Uhlenbeck's motion on the same Brownian path."""
    temperature, curvature, horizon, start = 0.6, 2.0, 1.0, 1.5
    law = tw.OverdampedLangevin(None, temperature)
    found = noise_order(tw.Method(law, tw.EulerMaruyama(), 0.1), curvature, horizon, start)
    scale = max(start, np.sqrt(temperature / curvature * (1 - np.exp(-2 * curvature * horizon))))
    for n, error in zip(found.steps, found.weak_errors, strict=True):
        h = horizon / n
        factor = 1 - h * curvature
        mean = abs(factor**n - np.exp(-curvature * horizon)) * start
        variance = 2 * temperature * h * (1 - factor ** (2 * n)) / (1 - factor**2)
        exact = temperature / curvature * (1 - np.exp(-2 * curvature * horizon))
        assert error == pytest.approx(mean / scale + abs(variance - exact) / scale**2, rel=1e-9)
    # A fine Brownian path in each of 8 steps; 20,000 paths tell a root mean square to half a percent.
    n, fine, paths = 8, 64, 20_000
    draw, h = np.random.default_rng(7), horizon / n
    x, exact = np.full(paths, start), np.full(paths, start)
    part = h / fine
    for _ in range(n):
        pushes = np.sqrt(2 * temperature * part) * draw.standard_normal((fine, paths))
        x = (1 - h * curvature) * x + pushes.sum(axis=0)
        for push in pushes:
            exact = np.exp(-curvature * part) * exact + np.exp(-curvature * part / 2) * push
    assert np.sqrt(np.mean((x - exact) ** 2)) / scale == pytest.approx(found.strong_errors[0], rel=0.02)


def test_what_it_cannot_tell_is_refused():
    for method, message in (
        (tw.gradient_descent(None, 0.1), "known exactly for white noise, which is not that of GradientFlow"),
        (tw.Method(tw.ColouredLangevin(None, 1.0, 1.0), tw.StochasticHeun(), 0.1), "not that of ColouredLangevin"),
        (tw.mala(None, 0.1, 1.0), "MetropolisAdjustedLangevin is linear on no function"),
    ):
        with pytest.raises(tw.InputError, match=message):
            noise_order(method)
    with pytest.raises(tw.InputError, match="curvature must be greater than 0"):
        noise_order(tw.sgld(None, 0.1, 1.0), curvature=0.0)
    with pytest.raises(tw.InputError, match=r"draws noise; tw\.analysis\.noise_order"):
        tw.analysis.convergence_order(tw.sgld(None, 0.1, 1.0))
