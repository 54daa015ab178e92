"""Steps as long as a tolerance allows: closed forms, diffrax's steps, what is counted, and how it ends."""

from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import special

import thalweg as tw
from tests.table.test_gradients import CURVATURE, Counter

PAIRS = {"Heun": tw.Heun(), "BogackiShampine": tw.BogackiShampine(), "DormandPrince": tw.DormandPrince()}
PAIRS["Tsit5"] = tw.Tsit5()
CURVATURES = jnp.array([0.2, 1.0, 3.0])
START = jnp.array([1.0, -0.5, 2.0])


def quadratic(x):
    return 0.5 * jnp.sum(CURVATURES * x**2)


def followed(law, until, tolerance=1e-8, scheme=tw.Tsit5(), first=0.01, x0: Any = START, **kwargs: Any) -> Any:  # noqa: B008
    adaptive = tw.Adaptive(scheme, rtol=tolerance, atol=tolerance, until=until)
    return tw.run(tw.Method(law, adaptive, first), x0, 1_000_000, **{"record": "step_size", **kwargs})


def mostly_slow(names, *quick):
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]


def flow(t):
    return np.asarray(START * jnp.exp(-CURVATURES * t))


def oscillator(t):
    return np.asarray(START * jnp.cos(jnp.sqrt(CURVATURES) * t))


def bessel(t):
    """Su, Boyd and Candes: x(t) = 2 x0 J1(t) / t at unit curvature."""
    z = np.sqrt(CURVATURES) * t
    return np.asarray(START) * 2.0 * special.j1(z) / z


LAWS = {
    "flow": (tw.GradientFlow(quadratic), flow),
    "oscillator": (tw.HeavyBall(quadratic, friction=0.0), oscillator),
    "Nesterov": (tw.NesterovFlow(quadratic), bessel),
    "rate": (tw.GradientFlow(quadratic, rate=lambda t: 2.0 * t), lambda t: flow(t**2)),
}


def test_steps_that_do_not_suffice_are_said_with_how_far_they_went():
    run = tw.run(tw.Method(tw.GradientFlow(quadratic), tw.Adaptive(until=20.0), 0.01), START, 5)
    assert (run.status, run.message) == ("finished", f"made 5 steps, up to time {run.final.time:g}")
    assert 0.0 < run.final.time < 20.0


@pytest.mark.parametrize("name", mostly_slow(LAWS, "Nesterov", "rate"))
def test_the_error_is_proportional_to_the_tolerance(name):
    law, exact = LAWS[name]
    tolerances = 10.0 ** -np.arange(4, 11)
    runs = [followed(law, 6.0 if name != "rate" else 2.0, tolerance) for tolerance in tolerances]
    errors = [np.max(np.abs(run.final.position - exact(run.final.time))) for run in runs]
    # The error of a step is that of the embedded solution, of order 4, and the steps follow it by h^5.
    slope = np.polyfit(np.log10(tolerances), np.log10(errors), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.15)
    assert all(error < 100 * tolerance for error, tolerance in zip(errors, tolerances, strict=True))


@pytest.mark.parametrize("name", mostly_slow(PAIRS, "DormandPrince"))
def test_every_pair_keeps_its_tolerance_by_steps_of_its_order(name):
    scheme = PAIRS[name]
    coarse, fine = (followed(tw.HeavyBall(quadratic, 0.0), 6.0, tol, scheme) for tol in (1e-5, 1e-7))
    for run, tolerance in ((coarse, 1e-5), (fine, 1e-7)):
        assert run.status == "finished" and run.final.time == 6.0
        assert np.max(np.abs(run.final.position - oscillator(6.0))) < 100 * tolerance
    # A hundredth of the error takes steps shorter by its p-th root.
    ratio = np.median(fine.metrics["step_size"]) / np.median(coarse.metrics["step_size"])
    assert ratio == pytest.approx(100.0 ** (-1.0 / scheme.order), rel=0.2)


def test_time_and_step_size_are_those_that_were_taken():
    run = followed(tw.NesterovFlow(quadratic), 5.0, 1e-7, first=3.0, record=tw.Record(("loss", "step_size"), 1))
    time, tried = run.metrics["time"], run.metrics["step_size"]
    moved = np.diff(time)
    rejected = moved == 0.0
    assert rejected[0] and 0 < np.sum(rejected) < 10
    np.testing.assert_allclose(moved[~rejected], tried[:-1][~rejected], rtol=1e-12)
    assert (tried[0], time[-1], tried[-1]) == (3.0, 5.0, 0.0)
    # Rejected attempts leave the position where it is, and the others are on the solution.
    stays = np.all(np.diff(run.trace.position, axis=0) == 0.0, axis=1)
    np.testing.assert_array_equal(stays, rejected)
    at = run.trace.time[1:]
    exact = np.stack([bessel(t) if t > 0 else np.asarray(START) for t in at])
    np.testing.assert_allclose(run.trace.position[1:], exact, rtol=0, atol=1e-5)
    assert f"{np.sum(~rejected)} steps, {np.sum(rejected)} rejected" in run.message


@pytest.mark.parametrize(
    ("name", "coefficients"),
    [
        ("Tsit5", (0.2, 0.4, 0.1)),
        *(
            pytest.param(name, coefficients, marks=pytest.mark.slow)
            for name, coefficients in [
                ("Tsit5", (0.0, 1.0, 0.0)),
                ("Tsit5", (0.4, 0.3, 0.0)),
                ("BogackiShampine", (0.0, 1.0, 0.0)),
                ("BogackiShampine", (0.2, 0.4, 0.1)),
            ]
        ),
    ],
)
def test_the_steps_are_those_of_diffrax(name, coefficients):
    diffrax = pytest.importorskip("diffrax")
    p, i, d = coefficients

    def bent(x):
        return jnp.sum(jnp.cosh(x)) + 5.0 * x[0] ** 2

    def field(t, y, args):
        del t, args
        return y[1], -jax.grad(bent)(y[0]) - 0.3 * y[1]

    # The embedded weights of diffrax.Dopri5 are another pair, of Shampine's.
    solver = {"Tsit5": diffrax.Tsit5, "BogackiShampine": diffrax.Bosh3}[name]()
    solved = diffrax.diffeqsolve(
        diffrax.ODETerm(field), solver, 0.0, 5.0, 0.5, (START, jnp.zeros(3)),
        saveat=diffrax.SaveAt(steps=True, t0=True), max_steps=400,
        stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-7, pcoeff=p, icoeff=i, dcoeff=d),
    )  # fmt: skip
    theirs = np.asarray(solved.ts)[: int(solved.stats["num_accepted_steps"]) + 1]
    scheme = tw.Adaptive(PAIRS[name], 1e-5, 1e-7, until=5.0, pcoeff=p, icoeff=i, dcoeff=d)
    run = tw.run(tw.Method(tw.HeavyBall(bent, 0.3), scheme, 0.5), START, 400, record="step_size")
    ours = np.unique(run.metrics["time"])
    assert len(ours) == len(theirs) and len(run.metrics["time"]) == solved.stats["num_steps"] + 1
    assert solved.stats["num_rejected_steps"] > 0
    np.testing.assert_allclose(ours[:-1], theirs[:-1], rtol=1e-6)
    np.testing.assert_allclose(run.final.position, solved.ys[0][len(theirs) - 1], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_after_a_stiff_transient_the_step_is_that_of_stability():
    def stiff(x):
        return 0.5 * (x[0] ** 2 + 1000.0 * x[1] ** 2)

    run = followed(tw.GradientFlow(stiff), 10.0, 1e-4, x0=jnp.array([1.0, 1.0]), first=1e-5)
    steps = run.metrics["step_size"][:-1]
    limit = tw.analysis.largest_stable_step(tw.Method(tw.GradientFlow(None), tw.Tsit5(), 1.0), 1000.0)
    assert steps[0] == 1e-5 and np.median(steps) == pytest.approx(limit, rel=0.1)
    assert run.final.position[0] == pytest.approx(np.exp(-10.0), abs=1e-4)


def test_a_run_cut_anywhere_goes_on_bit_for_bit(tmp_path):
    method = tw.Method(tw.NesterovFlow(quadratic), tw.Adaptive(until=7.0), 3.0)
    whole = tw.run(method, START, 500, record=tw.Record(("loss", "step_size"), 3), out=tmp_path / "whole")
    # Among the first attempts are rejected ones.
    for cut in (1, 2, 9):
        out = tmp_path / str(cut)
        tw.run(method, START, cut, record=tw.Record(("loss", "step_size"), 3), out=out)
        again = tw.run(method, START, 500, record=tw.Record(("loss", "step_size"), 3), out=out, resume=True)
        assert (again.status, again.message, again.gradients) == (whole.status, whole.message, whole.gradients)
        for name in whole.metrics:
            np.testing.assert_array_equal(again.metrics[name], whole.metrics[name])
        np.testing.assert_array_equal(again.trace.position, whole.trace.position)
    once_more = tw.run(method, START, 500, record=tw.Record(("loss", "step_size"), 3), out=out, resume=True)
    assert once_more.message == whole.message and once_more.final.time == 7.0


@pytest.mark.parametrize("name", mostly_slow(PAIRS, "Heun", "Tsit5"))
def test_counted_gradients_are_the_reported_ones(name):
    counter = Counter(CURVATURE)
    law = tw.HeavyBall(tw.Objective(counter.fn), 0.1)
    run = followed(law, 4.0, 1e-4, PAIRS[name], first=3.0, record="loss")
    start, attempt = {"Heun": (0, 2), "BogackiShampine": (1, 3)}.get(name, (1, 6))
    assert run.gradients == start + attempt * run.final.step
    # One more by the check at the start, and one for the last row of the loss.
    assert counter.gradients - 1 == run.gradients
    assert "0 rejected" not in run.message


def test_trees_and_float32_go_the_same_way():
    tree = {"a": jnp.array([[1.0], [-0.5]], jnp.float32), "b": jnp.array(2.0, jnp.float32)}

    def fn(x):
        return quadratic(jnp.append(x["a"].ravel(), x["b"]))

    run = followed(tw.NesterovFlow(fn), 6.0, 1e-5, x0=tree)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(run.final.position))
    assert run.status == "finished"
    found = np.append(np.ravel(run.final.position["a"]), run.final.position["b"])
    np.testing.assert_allclose(found, bessel(6.0), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_sweep_over_tolerances_is_the_runs_one_by_one():
    def make(tolerance):
        law = tw.HeavyBall(quadratic, 0.1)
        return tw.Method(law, tw.Adaptive(rtol=tolerance, atol=tolerance, until=3.0), 1.0)

    tolerances = [1e-3, 1e-5, 1e-7]
    swept = tw.sweep(make, {"tolerance": tolerances}, START, 60)
    for k, tolerance in enumerate(tolerances):
        alone = tw.run(make(tolerance), START, 60, record=None)
        np.testing.assert_allclose(swept.final[k, 0], alone.final.position, rtol=0, atol=1e-13)


def test_a_force_that_is_not_a_number_ends_the_motion_where_it_is():
    def edge(x):
        """x' = 1 / (1 - x) from 0, which is 1 - sqrt(1 - 2 t), and no force beyond 1/2."""
        return jnp.sum(jnp.log(1.0 - x) + jnp.where(x > 0.5, jnp.nan, 0.0) * x)

    run = followed(tw.GradientFlow(edge), 10.0, x0=jnp.array([0.0]), first=0.1)
    assert run.status == "not finite" and "no step from time 0.375 is finite" in run.message
    assert run.final.step < 300 and run.final.position[0] == pytest.approx(0.5, abs=1e-8)
    # At once, where there is none from the start on.
    lost = followed(tw.GradientFlow(lambda x: -jnp.sum(jnp.where(x > 0, jnp.nan, 1.0) * x)), 1.0, x0=jnp.zeros(1))
    assert (lost.status, lost.final.step, lost.final.time) == ("not finite", 40, 0.0)


def test_a_jump_that_no_step_within_the_tolerance_crosses_stalls():
    run = followed(tw.GradientFlow(lambda x: jnp.sum(jnp.abs(x - 1.0))), 3.0, 1e-22, x0=jnp.array([2.0]), first=0.3)
    assert run.status == "stalled" and "no step from time 1 is within the tolerance" in run.message
    assert run.final.position[0] == pytest.approx(1.0, abs=1e-14)


TREE = {"a": START[:2], "b": START[2]}


def on_tree(x):
    return quadratic(jnp.append(x["a"], x["b"]))


@pytest.mark.slow
def test_tolerances_may_be_those_of_each_number():
    """On a tree, whose leaves they spread over, on the vector of a run, and by attempts on the tree by hand."""
    loose = {"a": 1e-9, "b": jnp.array(1e-3)}
    vector = jnp.array([1e-9, 1e-9, 1e-3])
    law = tw.HeavyBall(on_tree, 0.3)
    methods = [tw.Method(law, tw.Adaptive(rtol=0.0, atol=atol, until=3.0), 0.1) for atol in (loose, vector, 1e-9)]
    runs = [tw.run(method, TREE, 500, record=None) for method in methods]
    assert runs[0].final.position["a"].tolist() == runs[1].final.position["a"].tolist()
    assert runs[0].final.step == runs[1].final.step < runs[2].final.step
    state = tw.solve(methods[0], TREE, 500).final
    np.testing.assert_allclose(state.position["a"], runs[0].final.position["a"], rtol=1e-12)
    spread = tw.Method(law, tw.Adaptive(rtol={"a": 1e-7, "b": 1e-7}, atol={"a": 1e-9, "b": 1e-9}, until=3.0), 0.1)
    alike = tw.Method(law, tw.Adaptive(rtol=1e-7, atol=1e-9, until=3.0), 0.1)
    ends = [tw.run(method, TREE, 500, record=None).final for method in (spread, alike)]
    np.testing.assert_allclose(ends[0].position["a"], ends[1].position["a"], rtol=1e-12)


@pytest.mark.parametrize(
    ("tolerances", "message"),
    [
        (
            {"atol": jnp.full(2, 1e-6)},
            r"atol must be a number or like the position, of shape \(3,\), but is of shape \(2,\)",
        ),
        ({"rtol": {"a": 1e-6}}, r"rtol must be a number or like the position.* but is another tree, of shape \(\)"),
        ({"atol": jnp.array([1e-6, 0.0, 1e-6])}, "every entry of atol must be greater than 0, but is 0"),
        ({"rtol": jnp.array([1e-6, np.nan, 1e-6])}, "every entry of rtol must be finite"),
        ({"rtol": "tight"}, "rtol must be a real number"),
        ({"rtol": None}, "rtol must be a number, or numbers like the position"),
    ],
)
def test_tolerances_that_do_not_fit_are_refused_before_the_run(tolerances, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=message):
        tw.run(tw.Method(tw.GradientFlow(quadratic), tw.Adaptive(**tolerances), 0.1), START, 3)


@pytest.mark.slow
def test_stiff_pairs_and_stabilised_steps_are_controlled_alike():
    law = tw.GradientFlow(quadratic)
    for scheme, order in ((tw.Rodas5P(), 5), (tw.RungeKuttaChebyshev(order=2), 3)):
        coarse, fine = (followed(law, 6.0, tolerance, scheme) for tolerance in (1e-5, 1e-7))
        for run, tolerance in ((coarse, 1e-5), (fine, 1e-7)):
            assert run.status == "finished" and run.final.time == 6.0
            assert np.max(np.abs(run.final.position - flow(6.0))) < 300 * tolerance
        ratio = np.median(fine.metrics["step_size"]) / np.median(coarse.metrics["step_size"])
        assert ratio == pytest.approx(100.0 ** (-1.0 / order), rel=0.3)
        # Three columns of a Jacobian count 2 each; or 20 products at the start, stages, and one slope.
        attempts = fine.final.step
        if order == 5:
            assert fine.gradients == attempts * (8 + 2 * 3)
        else:
            assert fine.gradients > 41 + 2 * attempts


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tw.Adaptive(tw.RungeKuttaChebyshev()), "estimates its error where its order is 2"),
        (
            lambda: tw.Adaptive(tw.RungeKuttaLegendre(2)),
            r"no estimate of its error; use tw.RungeKuttaChebyshev\(order=2",
        ),
        (
            lambda: tw.Method(tw.HeavyBall(quadratic, 1.0), tw.Adaptive(tw.RungeKuttaChebyshev(order=2)), 0.1),
            "stable along the negative real axis",
        ),
        (lambda: tw.Adaptive(tw.RK4()), "tableau 'RK4' has no embedded weights.*tw.Tsit5"),
        (lambda: tw.Adaptive(tw.Leapfrog()), "Adaptive controls an explicit tw.RungeKutta"),
        (lambda: tw.Adaptive(atol=0.0), "atol must be greater than 0"),
        (lambda: tw.Adaptive(rtol=-1.0), "rtol must be at least 0"),
        (lambda: tw.Method(tw.OverdampedLangevin(quadratic, 1.0), tw.Adaptive(), 0.1), "has noise, which Adaptive"),
        (lambda: tw.Method(tw.GradientFlow(quadratic), tw.Adaptive(until=0.0), 0.1), "until must be greater than 0"),
        (lambda: tw.Method(tw.GradientFlow(quadratic), tw.Adaptive(), lambda k: 0.1), "sets its steps itself"),
        (
            lambda: tw.Method(
                tw.GradientFlow(tw.FiniteSum(lambda x, s: jnp.sum(x * s), jnp.ones((4, 3)), 2)), tw.Adaptive(), 0.1
            ),
            "Adaptive needs the exact force, but the objective draws mini-batches",
        ),
        (
            lambda: tw.analysis.amplification(tw.Method(tw.GradientFlow(None), tw.Adaptive(), 0.1), 1.0),
            "Adaptive sets the length of its steps as it goes, so that no matrix makes one",
        ),
    ],
)
def test_what_it_cannot_do_is_refused_in_one_line(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=message):
        make()


@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_a_tolerance_below_the_precision_of_short_numbers_is_said(dtype):
    """Steps that the rounding of the position undoes are exact to the last digit of a sum that nobody keeps."""
    flow = tw.GradientFlow(lambda x: 0.5 * jnp.sum(x * x))
    fine = tw.run(tw.Method(flow, tw.Adaptive(until=1.0), 0.01), jnp.ones(2, dtype), 50)
    assert fine.status == "stalled" and f"below the precision of {dtype}" in fine.message
    loose = tw.run(tw.Method(flow, tw.Adaptive(rtol=0.05, atol=0.05, until=1.0), 0.01), jnp.ones(2, dtype), 200)
    assert loose.status == "finished" and loose.final.position.dtype == dtype
    np.testing.assert_allclose(np.asarray(loose.final.position, float), np.exp(-1.0), rtol=0.05)
