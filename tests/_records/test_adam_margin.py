"""The stability margin of a running Adam: made of the curvature over its second moment, and of no other."""

import warnings

import jax
import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg._records.margin import as_motion
from thalweg._records.stability import NoMarginWarning, StabilityWarning
from thalweg.adapters.torch import Optimizer, largest_curvature

ADAM = tw.AdamHyperparameters(0.1, 0.8, 0.99)


def limit(beta1):
    """Cohen et al. (2022)."""
    return (2.0 + 2.0 * beta1) / (1.0 - beta1)


def logged(path, method, rows, **options):
    with tw.Recorder(path, method, **options) as recorder:
        for row in rows:
            recorder.log(**{"loss": 1.0} | row)
    return recorder.run


@pytest.mark.parametrize(
    ("method", "expected", "rate"),
    [
        (ADAM, limit(0.8), 0.1),
        (tw.adam(None, 0.1, 0.5), limit(0.5), 0.1),
        (tw.adam(None, lambda k: 0.1 / (1.0 + k), 0.5), limit(0.5), np.array([0.1, 0.05])),
        (tw.rmsprop(None, 0.1), 2.0, 0.1),
        (tw.AdamHyperparameters(0.1, 0.8, weight_decay=0.3, coupled=True), limit(0.8), 0.1),
    ],
    ids=["numbers", "a method", "a schedule", "rmsprop", "coupled"],
)
def test_the_margin_is_of_the_preconditioned_curvature(method, expected, rate, tmp_path):
    run = logged(tmp_path / "run", method, [{"preconditioned_curvature": c} for c in (4.0, 2.0)])
    np.testing.assert_allclose(run.metrics["stability_margin"], expected / np.array([4.0, 2.0]) / rate, rtol=1e-6)
    assert run.metrics["preconditioned_curvature"].tolist() == [4.0, 2.0] and "curvature" not in run.metrics
    assert f"the least stability margin was {min(run.metrics['stability_margin']):.3g}" in run.message


def test_a_decay_apart_from_the_gradient_is_seen_by_the_limit(tmp_path):
    numbers = tw.AdamHyperparameters(0.1, 0.8, weight_decay=2.0)
    run = logged(tmp_path / "run", numbers, [{"preconditioned_curvature": 4.0}])
    expected = tw.analysis.largest_stable_learning_rate(numbers.method(), 4.0) / 0.1
    assert run.metrics["stability_margin"][0] == pytest.approx(expected, rel=1e-9)
    # By the step itself: theta loses a part of itself beside the average.
    a = 0.1 * expected
    step = np.array([[0.8, 0.2 * 4.0], [-a * 0.8, 1.0 - a * 2.0 - a * 0.2 * 4.0]])
    assert np.abs(np.linalg.eigvals(step)).max() == pytest.approx(1.0, abs=1e-6)


def test_a_learning_rate_in_use_counts_and_a_margin_below_1_is_told(tmp_path):
    rows = [
        {"learning_rate": 0.1, "preconditioned_curvature": 4.0},
        {"learning_rate": 9.0, "preconditioned_curvature": 4.0},
    ]
    with pytest.warns(StabilityWarning, match=r"the largest stable learning rate is 4\.5, and 9 is in use"):
        run = logged(tmp_path / "run", ADAM, rows)
    np.testing.assert_allclose(run.metrics["stability_margin"], limit(0.8) / 4.0 / np.array([0.1, 9.0]), rtol=1e-6)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (ADAM, "makes no stability margin of Adam and its like"),
        (tw.rmsprop(None, 0.1), "makes no stability margin of Adam and its like"),
        (tw.lion(None, 0.1), "since its direction is a sign"),
        (tw.sign_descent(None, 0.1), "since its direction is a sign"),
    ],
    ids=["adam", "rmsprop", "lion", "sign_descent"],
)
def test_a_plain_curvature_is_never_taken_for_it(method, says, tmp_path):
    """It is kept, makes no margin, and that is said once; also where the recorder measures it itself."""
    with pytest.warns(NoMarginWarning, match=says) as caught:
        run = logged(tmp_path / "run", method, [{"curvature": 3.0}, {"curvature": 4.0}])
    assert len(caught) == 1
    assert run.metrics["curvature"].tolist() == [3.0, 4.0] and "stability_margin" not in run.metrics
    with pytest.warns(NoMarginWarning, match=says) as caught:
        run = logged(tmp_path / "own", method, [{}, {}], curvature=lambda: 3.0)
    assert len(caught) == 1 and "stability_margin" not in run.metrics


def test_both_curvatures_stand_beside_each_other_and_go_on(tmp_path):
    with pytest.warns(NoMarginWarning):
        logged(tmp_path / "run", ADAM, [{"curvature": 3.0, "preconditioned_curvature": 4.0}, {}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = logged(tmp_path / "run", ADAM, [{"preconditioned_curvature": 2.0}], resume=True)
    np.testing.assert_array_equal(run.metrics["curvature"], [3.0, np.nan, np.nan])
    np.testing.assert_allclose(run.metrics["stability_margin"], limit(0.8) / 0.1 / np.array([4.0, np.nan, 2.0]), 1e-6)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (tw.Hyperparameters(0.1), "is of Adam and its like, .*; of this method log curvature="),
        (tw.lion(None, 0.1), "is of Adam and its like, .* since its direction is a sign"),
        (None, "is of Adam and its like"),
    ],
    ids=["descent", "lion", "unknown"],
)
def test_of_another_method_it_is_refused(method, says, tmp_path):
    with tw.Recorder(tmp_path / "run", method) as recorder:
        with pytest.raises(tw.InputError, match=says):
            recorder.log(loss=1.0, preconditioned_curvature=3.0)
        recorder.log(loss=1.0)
    assert len(recorder.run.metrics["loss"]) == 1


def test_a_run_at_its_limit_has_the_margin_1(tmp_path):
    """Adam of torch and of ours on a bowl of known curvature, the second moment held by a gradient that stays."""
    curvatures, slope = torch.tensor([3.0, 1.0], dtype=torch.float64), torch.tensor([2.0, 0.5], dtype=torch.float64)
    rate = limit(0.8) / max(3.0 / 2.0, 1.0 / 0.5)
    for which, make in enumerate((lambda p: torch.optim.Adam(p, rate, (0.8, 0.99), 0.0),
                                  lambda p: Optimizer(p, tw.adam(None, rate, 0.8, 0.99, 0.0)))):  # fmt: skip
        x = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
        optimizer = make([x])

        def measured(x=x, optimizer=optimizer):
            return largest_curvature(lambda: 0.5 * (curvatures * x**2).sum(), [x], optimizer=optimizer)

        numbers = tw.AdamHyperparameters.from_torch(optimizer)
        for _ in range(3):
            x.grad = slope.clone()
            optimizer.step()
        run = logged(tmp_path / f"run{which}", numbers, [{}], preconditioned_curvature=measured)
        assert run.metrics["stability_margin"][0] == pytest.approx(1.0, abs=1e-6)


def test_a_curvature_that_is_not_known_before_the_first_step_makes_no_margin(tmp_path):
    known = iter([float("nan"), 4.0, 2.0])
    watch = {"preconditioned_curvature": lambda: next(known), "curvature_every": 1}
    run = logged(tmp_path / "run", ADAM, [{}, {}, {}], **watch)
    np.testing.assert_allclose(run.metrics["stability_margin"], limit(0.8) / 0.1 / np.array([np.nan, 4.0, 2.0]), 1e-6)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: tw.adam(None, 0.1), limit(0.9) / 4.0 / 0.1),
        (lambda: ADAM.method(), limit(0.8) / 4.0 / 0.1),
        (
            lambda: tw.Method(tw.AdamFlow(None, rate=lambda t: 1.0 + t), tw.LieTrotter(), 0.1),
            limit(np.exp(-0.1)) / 4.0 / (0.1 * 1.2),
        ),
    ],
    ids=["an alias", "numbers", "a rate in time"],
)
def test_in_float32_too_and_without_a_word_of_jax(make, expected):
    with jax.enable_x64(False):
        found = as_motion(make()).margin(4.0, 2, None)
    assert found == pytest.approx(expected, rel=1e-5)
