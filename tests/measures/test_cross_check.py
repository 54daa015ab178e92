"""One flow by several ways: that they agree, and that a way that is wrong is seen."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.measures import (
    KL,
    MMD,
    Entropy,
    Gaussian,
    GaussianKernel,
    Grid,
    Interaction,
    Internal,
    Potential,
    Quantiles,
    cross_check,
)

START = Gaussian(1.0, 0.4)
SMALL = {"steps": 40, "cells": 100, "particles": 1000, "quantiles": 80}

FUNCTIONALS = {
    "Ornstein and Uhlenbeck": KL(Gaussian(0.0, 1.0)),
    "two wells": Potential(lambda x: 0.25 * x[0] ** 4 - 0.5 * x[0] ** 2) + 0.5 * Entropy(),
    "attraction": Interaction(lambda z: jnp.log(jnp.cosh(z[0])))
    + 0.3 * Entropy()
    + Potential(lambda x: 0.2 * x[0] ** 2),
    "porous medium": Internal(2.0) + Potential(lambda x: 0.5 * x[0] ** 2),
    "potential": Potential(lambda x: jnp.log(jnp.cosh(x[0]))),
    "discrepancy": MMD(np.linspace(-1.5, 1.5, 40)[:, None], GaussianKernel(1.0)) + 0.2 * Entropy(),
}
# The ways that there are not, and whether Gaussians stay so.
WITHOUT = {"porous medium": {"particles"}, "discrepancy": {"gaussian"}}
EXACT = {"Ornstein and Uhlenbeck"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONALS)
def test_the_ways_agree_within_their_errors(name):
    found = cross_check(FUNCTIONALS[name], START, 0.6, **SMALL)
    assert found.agree
    assert set(found.refused) == WITHOUT.get(name, set())
    assert found.projected == (name not in EXACT and "gaussian" in found.ends)
    # Errors that anything would be within say nothing.
    assert all(error <= (0.3 if way == "particles" else 0.08) for way, error in found.errors.items())
    values = [found.free_energy[way] for way in ("grid", "jko")]
    assert values[0] == pytest.approx(values[1], abs=0.02)


class _Lying(Potential):
    """A potential that quantiles fall down half as fast as a grid does."""

    def on(self, q):
        return super().on(q) * (0.5 if isinstance(q, Quantiles) else 1.0)


@pytest.mark.slow
def test_a_way_that_is_wrong_is_seen():
    few = {"steps": 20, "cells": 60, "quantiles": 40, "ways": ("grid", "jko")}
    found = {
        kind: cross_check(kind(lambda x: 0.5 * x[0] ** 2) + Entropy(), START, 0.6, **few)
        for kind in (Potential, _Lying)
    }
    assert found[Potential].agree
    assert not found[_Lying].agree
    assert "not all agree within their errors" in repr(found[_Lying])


@pytest.mark.slow
def test_a_start_on_a_grid_and_a_plane():
    q = Grid.of(lambda x: jnp.exp(-0.5 * (jnp.abs(x[0]) - 1.0) ** 2 / 0.1), jnp.linspace(-5.0, 5.0, 101))
    found = cross_check(KL(Gaussian(0.0, 1.0)), q, 0.3, ways=("grid", "jko"), **SMALL)
    assert found.agree
    plane = Gaussian(np.array([1.0, 0.0]), 0.3)
    found = cross_check(
        KL(Gaussian(np.zeros(2), 1.0)), plane, 0.3, ways=("gaussian", "jko", "grid"), **(SMALL | {"cells": 40})
    )
    assert found.agree
    assert set(found.refused) == {"jko"}


def test_what_cannot_be_compared_is_refused():
    functional = KL(Gaussian(0.0, 1.0))
    with pytest.raises(tw.InputError, match="begins from a Gaussian or a Grid"):
        cross_check(functional, Quantiles(np.arange(4.0)), 1.0)
    with pytest.raises(tw.InputError, match="no two ways can be run"):
        cross_check(functional, START, 1.0, ways=("grid",), **SMALL)
    with pytest.raises(tw.InputError, match="way 'guess' is unknown"):
        cross_check(functional, START, 1.0, ways=("grid", "guess"), **SMALL)
    for name in SMALL:
        with pytest.raises(tw.InputError, match=name):
            cross_check(functional, START, 1.0, **(SMALL | {name: 2}))
