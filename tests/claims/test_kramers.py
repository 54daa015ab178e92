"""The means that Kramers' law keeps, and another law does not."""

import numpy as np
import pytest

import thalweg as tw
from thalweg.claims.barrier import wells
from thalweg.claims.kramers import drifts

FRICTION, T = 0.7, 0.3


def method(step):
    return tw.Method(tw.UnderdampedLangevin(wells, FRICTION, T), tw.Splitting("BAOAB"), step)


def test_the_means_stay_to_second_order():
    far, near = (np.max(np.abs(drifts(method(h), T))) for h in (0.02, 0.01))
    assert abs(np.log2(far / near) - 2.0) < 0.1


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_under_another_temperature_they_move(factor):
    found = drifts(method(1e-5), factor * T)
    # d<eta^2>/dt = 2 lambda (T - <eta^2>), as x and eta are independent; d<x eta>/dt = <eta^2> - <x L'> is 0.
    np.testing.assert_allclose(found[2], 2 * FRICTION * (1 - factor) * T, rtol=1e-4)
    np.testing.assert_allclose(found[1], 0.0, atol=1e-4)
