"""Runs that were made, side by side: what each shows is what its rows say."""

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw

X0 = jnp.array([1.0, -2.0])


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2)


def recorded(path, losses, norms=None, **options):
    with tw.Recorder(path, **options) as recorder:
        for k, loss in enumerate(losses):
            recorder.log(loss=loss, **({} if norms is None else {"gradient_norm": norms[k]}))
    return recorder.run


@pytest.fixture
def three(tmp_path):
    ours = tw.run(tw.momentum(bowl, 0.05, 0.8), X0, 100, record=("loss", "gradient_norm"), out=tmp_path / "ours")
    memory = tw.run(tw.Method(tw.GradientFlow(bowl), tw.RK4(), 0.02), X0, 30, record=("loss", "gradient_norm"))
    other = recorded(tmp_path / "mine", [8.0, 4.0, 5.0, 1.0, 2.0], [10.0, 5.0, 0.01, 0.5, 0.4], method="adam")
    return {"ours": ours.path, "memory": memory, "mine": str(other.path)}


def test_gradients_to_the_tolerance_on_the_gradient_norm(three):
    result = tw.compare_runs(three, tolerance=1e-2)
    assert result.criterion == "gradient norm"
    norms = result.runs["ours"].metrics["gradient_norm"]
    ours, memory, mine = (result[name] for name in three)
    assert ours.reached and ours.steps == ours.gradients == int(np.argmax(norms <= 1e-2 * norms[0]))
    assert not memory.reached and (memory.steps, memory.gradients) == (30, 120)
    assert mine.reached and (mine.steps, mine.gradients) == (2, 2)
    assert (mine.loss, mine.best, mine.regime, mine.status) == (2.0, 1.0, "oscillating", "finished")
    assert (ours.method, memory.method, mine.method) == ("HeavyBall Leapfrog", "GradientFlow RK4", "adam")
    assert ours.seconds == pytest.approx(result.runs["ours"].seconds * ours.steps / 100)
    comparison = tw.compare({"m": tw.momentum(bowl, 0.05, 0.8)}, X0, 1e-2, 100, limits=False)
    assert (ours.gradients, ours.regime) == (comparison["m"].gradients, comparison["m"].regime)


def test_a_run_without_norms_puts_all_on_the_loss(three, tmp_path):
    plain = recorded(tmp_path / "plain", [4.0, float("nan"), 1.0, 0.5])
    result = tw.compare_runs(three | {"plain": plain}, tolerance=0.25)
    assert result.criterion == "loss"
    assert (result["mine"].reached, result["mine"].steps) == (True, 3)
    assert (result["plain"].reached, result["plain"].steps, result["plain"].loss) == (True, 2, 0.5)
    assert (result["plain"].regime, result["plain"].status) == ("diverging", "not finite")


@pytest.mark.parametrize("losses", [[-1.0, -5.0], [0.0, -1.0]])
def test_a_loss_that_is_not_positive_meets_no_part_of_itself(losses, tmp_path):
    entry = tw.compare_runs([recorded(tmp_path / "run", losses)]).entries[0]
    assert (entry.reached, entry.gradients) == (False, 2)


def test_a_loss_that_was_never_finite_is_shown_as_what_it_is(tmp_path):
    entry = tw.compare_runs([recorded(tmp_path / "run", [float("nan")] * 3)]).entries[0]
    assert (entry.reached, entry.loss, entry.best, entry.regime) == (False, None, None, "diverging")


def test_the_table_and_the_list(three):
    text = repr(tw.compare_runs(three, 1e-2))
    assert text.startswith("To a gradient norm of 0.01 of its start")
    assert "objective" in text and "> 120" in text and "adam" in text
    alone = tw.compare_runs([three["mine"]], 1e-2)
    assert "objective" not in repr(alone)
    (row,) = alone.as_list()
    assert (row["name"], row["path"], row["objective"]) == (three["mine"], three["mine"], "unnamed")


def test_names_of_a_sequence_are_different(three):
    assert list(tw.compare_runs([three["memory"], three["memory"]]).runs) == ["run 0", "run 1"]
    assert list(tw.compare_runs(three["mine"]).runs) == [three["mine"]]


def test_a_report(three, tmp_path):
    page = tw.compare_runs(three).report(tmp_path / "pages" / "page.html", "Mine & yours").read_text()
    assert "<h1>Mine &amp; yours</h1>" in page
    assert page.count("<tr>") == 4 and page.count("<svg") == 2
    bare = tw.run(tw.gradient_descent(bowl, 0.1), X0, 3, record="gradient_norm")
    assert "No run kept its loss" in tw.compare_runs({"bare": bare}).report(tmp_path / "bare.html").read_text()
    with pytest.raises(tw.InputError, match="is a directory; give the report a file name"):
        tw.compare_runs(three).report(tmp_path)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "compare_runs needs at least one run"),
        ({"a": 3}, r"runs\['a'\] must be a tw.Run or the path of a run directory, but is 3"),
        ("nowhere", "nowhere is not a run directory: it holds no run.toml"),
    ],
)
def test_what_is_no_run_is_one_line(runs, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=message):
        tw.compare_runs(runs)


def test_a_run_that_kept_nothing_does_not_compare(three):
    bare = tw.run(tw.gradient_descent(bowl, 0.1), X0, 3, record=None)
    with pytest.raises(tw.InputError, match="the run 'bare' kept neither its loss nor its gradient norm"):
        tw.compare_runs(three | {"bare": bare})


def test_losses_of_unlike_batches_are_no_divergence(tmp_path):
    """A recorded training that goes down while its first batch happened to lie low; and one that goes up."""
    rng = np.random.default_rng(0)
    steps = np.arange(400)
    for drift, kind in ((-1e-3, "fluctuating"), (1e-2, "diverging")):
        with tw.Recorder(tmp_path / kind) as recorder:
            for step, noise in zip(steps, rng.normal(size=400), strict=True):
                recorder.log(loss=2.0 + drift * step + noise * 0.5 if 0 < step < 399 else (0.5 if step == 0 else 3.0))
        (entry,) = tw.compare_runs({"a": tmp_path / kind}).entries
        assert entry.regime == kind
