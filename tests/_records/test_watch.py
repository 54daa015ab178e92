"""When a recorder measures the curvature: sooner where the loss jumps, the curvature moves or the margin is near 1."""

import math

import numpy as np

from thalweg._records.watch import Watch


def walked(watch, losses, curvature, limit=math.inf):
    """The steps at which it was due, of a loop that does as it is told."""
    found = []
    for step, loss in enumerate(losses):
        watch.see(float(loss))
        if watch.due(step):
            found.append(step)
            watch.measured(step, curvature(step))
            if curvature(step) > 0:
                watch.near(step, limit / curvature(step))
    return found


def test_nothing_moves():
    assert walked(Watch(10), np.ones(50), lambda k: 2.0) == [0, 10, 20, 30, 40]
    # A loss that falls is no jump, and noise is seldom one.
    noise = 1.0 + 0.2 * np.random.default_rng(0).normal(size=500)
    assert walked(Watch(50), np.exp(-np.arange(200) / 30), lambda k: 2.0) == [0, 50, 100, 150]
    assert len(walked(Watch(50), noise, lambda k: 2.0)) <= 10 + 15


def test_a_loss_that_jumps():
    """At once, and then at longer and longer times as long as nothing has moved."""
    losses = np.exp(-np.arange(200) / 50)
    losses[133:136] *= 5
    assert walked(Watch(100), losses, lambda k: 2.0)[:3] == [0, 100, 133]
    after = [k for k in walked(Watch(100), losses, lambda k: 2.0) if k >= 136]
    assert after[:4] == sorted(after)[:4] and 3 <= len(after) <= 8
    broken = np.where(np.arange(30) < 17, 1.0, np.nan)
    assert walked(Watch(20), broken, lambda k: 2.0)[:3] == [0, 17, 18]


def test_a_curvature_that_moves():
    """Where it grows by a tenth a step, within a few steps of when it began to be seen."""
    found = walked(Watch(64), np.ones(256), lambda k: 1.0 if k < 100 else 1.1 ** min(k - 100, 60))
    # It is seen at 128; then after a quarter of the 64 steps, and of those.
    assert found[:5] == [0, 64, 128, 144, 148] and len([k for k in found if 128 <= k < 160]) >= 10
    # Once it stays, the times between grow back.
    assert np.diff([k for k in found if k > 160]).max() >= 16


def test_a_margin_near_1():
    assert walked(Watch(40), np.ones(100), lambda k: 1.0, limit=1.5) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_a_curvature_that_changes_sign_has_moved():
    assert walked(Watch(16), np.ones(40), lambda k: 1.0 if k < 10 else -1.0)[:4] == [0, 16, 20, 28]
