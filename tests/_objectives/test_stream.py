"""Streams: the batch of a step comes from the host, and nothing else about a run is different."""

import itertools
import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops import drive as loop
from thalweg._methods.drawing import BATCHES
from thalweg._objectives import feed

SCALES = jnp.array([1.0, 2.0, 5.0])
# Lopsided, so that another batch or another order shows.
DATA = {"x": np.random.default_rng(0).gamma(2.0, size=(60, 3)), "k": np.arange(60) % 4}
X0 = jnp.array([1.0, -2.0, 0.5])
STEPS = 50


def one(x, s):
    return 0.5 * jnp.sum(SCALES * (x - s["x"]) ** 2) * (1.0 + 0.1 * s["k"]) + 0.1 * jnp.sum(jnp.cos(x))


def smaller(k):
    return 0.1 / (1.0 + 0.1 * k)


SUM = tw.FiniteSum(one, DATA, 7, replace=False, epochs=True)
METHODS = {
    "gradient_descent": lambda f: tw.gradient_descent(f, 0.02),
    "nesterov": lambda f: tw.nesterov(f, 0.02, 0.8),
    "sgld": lambda f: tw.sgld(f, 0.02, 0.1),
    "schedule": lambda f: tw.Method(tw.HeavyBall(f, 1.0), tw.Lookahead(1.0, start="zero"), smaller),
}


def drawn(key, steps=STEPS):
    """The batches of a run of `SUM`."""
    rows = [np.asarray(SUM.draw(key, k)) for k in range(steps)]
    return [{name: column[at] for name, column in DATA.items()} for at in rows]


LIST = drawn(jax.random.key(1))
KINDS = {
    "function": lambda: LIST.__getitem__,
    "list": lambda: LIST,
    "generator": lambda: (batch for batch in LIST),
    # Epochs of 8 batches.
    "epochs": lambda: LIST[:8],
}


def stream(kind="function", **options):
    return tw.Stream(one, KINDS[kind](), **options)


def alike(a, b):
    assert (a.status, a.steps, a.message) == (b.status, b.steps, b.message)
    for name, values in a.metrics.items():
        np.testing.assert_array_equal(values, b.metrics[name], err_msg=name)
    if a.trace is not None:
        np.testing.assert_array_equal(a.trace.step, b.trace.step)
        np.testing.assert_array_equal(a.trace.position, b.trace.position)
    np.testing.assert_array_equal(a.final.position, b.final.position)


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "function") for name in METHODS), ("nesterov", "list"), ("nesterov", "generator")]
)
def test_a_stream_goes_the_way_of_the_sum_whose_batches_it_gives(name, kind, key):
    method = METHODS[name]
    batches = drawn(jax.random.fold_in(key, BATCHES) if name == "sgld" else key)
    given = {"function": batches.__getitem__, "list": batches, "generator": iter(batches)}[kind]
    record = ("loss", "gradient_norm")
    expected = tw.run(method(SUM), X0, STEPS, key=key, record=record)
    run = tw.run(method(tw.Stream(one, given)), X0, STEPS, key=key if name == "sgld" else None, record=record)
    np.testing.assert_allclose(run.final.position, expected.final.position, rtol=0, atol=2e-15)
    assert run.gradients == expected.gradients
    for metric in record:
        np.testing.assert_allclose(run.metrics[metric][:-1], expected.metrics[metric][:-1], rtol=1e-14)
    # The end of a stream has no batch of its own, and takes the last.
    last = tw.FiniteSum(one, batches[-1])
    np.testing.assert_allclose(run.metrics["loss"][-1], last.value(run.final.lookahead), rtol=1e-14)


def test_an_iterable_begins_anew_in_every_epoch():
    alike(
        tw.run(METHODS["nesterov"](stream("epochs")), X0, STEPS, record=3),
        tw.run(METHODS["nesterov"](tw.Stream(one, lambda step: LIST[step % 8])), X0, STEPS, record=3),
    )


@pytest.mark.parametrize("patch", [{"seconds": 0.0}, {"bytes": 700}, {"bytes": 1}, {"seconds": 0.0, "bytes": 700}])
@pytest.mark.parametrize("stride", [0, 4, 13])
def test_the_size_of_chunks_and_blocks_changes_nothing(patch, stride, monkeypatch):
    method, record = METHODS["nesterov"](stream()), tw.Record(("loss", "speed"), positions=stride)
    whole = tw.run(method, X0, STEPS, record=record)
    if "seconds" in patch:
        monkeypatch.setattr(loop, "CHUNK_SECONDS", patch["seconds"])
    if "bytes" in patch:
        monkeypatch.setattr(feed, "_BLOCK_BYTES", patch["bytes"])
    alike(whole, tw.run(method, X0, STEPS, record=record))
    alike(whole, tw.run(METHODS["nesterov"](stream(ahead=False)), X0, STEPS, record=record))


@pytest.mark.parametrize("ahead", [True, False])
def test_every_batch_is_asked_for_once_in_order_and_few_ahead(ahead, monkeypatch):
    asked = []

    def batches(step):
        asked.append(step)
        return LIST[step]

    f = tw.Stream(one, batches, ahead=ahead)
    tw.run(METHODS["nesterov"](f), X0, STEPS)
    assert asked == list(range(STEPS))
    asked.clear()
    # Blocks of two batches: the one in use, and the one ahead of it.
    monkeypatch.setattr(feed, "_BLOCK_BYTES", 2 * sum(leaf.nbytes for leaf in LIST[0].values()))
    assert tw.run(METHODS["nesterov"](f), X0, STEPS, stop=lambda m: m["step"] >= 10).steps == 10
    assert 10 < len(asked) <= 15


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [0, 1, 8, 20])
def test_a_run_that_goes_on_ends_as_one_never_stopped(kind, steps, tmp_path):
    record = tw.Record(("loss", "speed"), positions=4)
    whole = tw.run(METHODS["nesterov"](stream(kind)), X0, STEPS, record=record, out=tmp_path / "whole")
    tw.run(METHODS["nesterov"](stream(kind)), X0, steps, record=record, out=tmp_path / "run")
    alike(whole, tw.run(METHODS["nesterov"](stream(kind)), X0, STEPS, record=record, out=tmp_path / "run", resume=True))
    lines = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "run")]
    assert lines[0] == lines[1]


def test_a_one_shot_iterator_goes_on_where_its_first_run_ended(tmp_path):
    method = METHODS["nesterov"](stream("generator"))
    tw.run(method, X0, 20, out=tmp_path / "run")
    with pytest.raises(
        tw.InputError, match=r"one-shot iterator that has been read up to step 19, .* from step 0; give"
    ):
        tw.run(method, X0, STEPS, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
    run = tw.run(method, X0, STEPS, out=tmp_path / "run", resume=True)
    alike(run, tw.run(METHODS["nesterov"](stream()), X0, STEPS, out=tmp_path / "whole"))


@pytest.mark.parametrize("seconds", [0.5, 0.0])
def test_a_run_stops_where_the_batches_end_and_goes_on_with_more(seconds, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
    method = METHODS["nesterov"](tw.Stream(one, iter(LIST[:37])))
    run = tw.run(method, X0, STEPS, out=tmp_path / "run")
    assert (run.status, run.steps) == ("stopped", 37)
    assert run.message == "stopped at step 37 of 50, where the batches ended"
    by_hand = tw.run(METHODS["nesterov"](stream()), X0, 37)
    np.testing.assert_array_equal(run.metrics["loss"], by_hand.metrics["loss"])
    np.testing.assert_array_equal(run.final.position, by_hand.final.position)
    assert run.metrics["step"].tolist() == list(range(38))
    again = tw.run(METHODS["nesterov"](stream()), X0, STEPS, out=tmp_path / "run", resume=True)
    alike(again, tw.run(METHODS["nesterov"](stream()), X0, STEPS))
    with pytest.raises(tw.InputError, match="the batches end before step 50, where the run is to go on"):
        tw.run(METHODS["nesterov"](tw.Stream(one, iter(LIST[:37]))), X0, 60, out=tmp_path / "run", resume=True)


FAULTS = {
    "raises": (lambda: 1 / 0, r"batches\(23\) raised ZeroDivisionError: division by zero"),
    "other shape": (
        lambda: {name: column[:5] for name, column in LIST[0].items()},
        r"the batch of step 23 must have the shapes and dtypes of the first, int64 of shape \(7,\), but holds int64 of "
        r"shape \(5,\)",
    ),
    "other dtype": (lambda: LIST[0] | {"x": LIST[0]["x"].astype(np.float32)}, "step 23 .* but holds float32 of shape"),
    "other structure": (lambda: LIST[0]["x"], "the batch of step 23 must have the structure of the first, PyTreeDef"),
    "ragged": (
        lambda: LIST[0] | {"k": np.zeros(6, int)},
        r"batch of step 23 must have the same non-empty leading axis",
    ),
    "text": (lambda: "a batch", "the batch of step 23 must be arrays of numbers, but holds str"),
}


@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("what", FAULTS)
def test_what_was_computed_before_a_bad_batch_is_saved(what, ahead, tmp_path):
    make, says = FAULTS[what]

    def batches(step):
        return make() if step == 23 else LIST[step]

    record = tw.Record(("loss",), positions=2)
    with pytest.raises(tw.InputError, match=says) as caught:
        tw.run(
            METHODS["nesterov"](tw.Stream(one, batches, ahead=ahead)), X0, STEPS, record=record, out=tmp_path / "run"
        )
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"; the 23 steps before it are saved in {tmp_path / 'run'}")
    if what == "raises":
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    kept = tw.Run.load(tmp_path / "run")
    assert (kept.status, kept.steps, len(kept.metrics["loss"])) == ("running", 23, 23)
    mended = tw.run(METHODS["nesterov"](stream()), X0, STEPS, record=record, out=tmp_path / "run", resume=True)
    alike(mended, tw.run(METHODS["nesterov"](stream()), X0, STEPS, record=record))


def test_a_loader_that_leaves_the_program_is_let_go():
    def batches(step):
        if step == 23:
            raise SystemExit(3)
        return LIST[step]

    with pytest.raises(SystemExit):
        tw.run(METHODS["nesterov"](tw.Stream(one, batches)), X0, STEPS)


@pytest.mark.parametrize(("record", "seconds"), [("loss", 0.5), (None, 0.0)])
def test_a_run_that_diverges_within_a_block_is_made_again_from_its_batches(record, seconds, monkeypatch):
    def batches(step):
        return LIST[step % 50]

    def made(ahead):
        return tw.run(tw.nesterov(tw.Stream(one, batches, ahead=ahead), 0.6, 0.8), X0, 2000, record=record)

    whole = made(True)
    assert whole.status == "diverged"
    # By hand, on the same batches, to the same step.
    method = tw.nesterov(tw.FiniteSum(one, LIST[0]), 0.6, 0.8)
    state = method.init(X0)
    take = jax.jit(lambda state, batch: method.with_objective(tw.FiniteSum(one, batch)).step(state))
    for k in range(whole.steps):
        state = take(state, batches(k))
    np.testing.assert_allclose(whole.final.position, state.position, rtol=1e-11)
    assert re.search(r"at curvature [\d.]+ of the first mini-batch the stability limit is learning_rate", whole.message)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
    monkeypatch.setattr(feed, "_BLOCK_BYTES", 2000)
    alike(whole, made(False))


@pytest.mark.parametrize("at", [1, 31, 32, 49])
@pytest.mark.parametrize("patch", [{}, {"_BLOCK_BYTES": 700}])
def test_a_batch_that_is_not_finite_ends_the_run_before_it(at, patch, monkeypatch):
    for name, value in patch.items():
        monkeypatch.setattr(feed, name, value)
    bad = {"x": np.full((7, 3), np.nan), "k": LIST[0]["k"]}
    run = tw.run(METHODS["nesterov"](tw.Stream(one, lambda k: bad if k == at else LIST[k])), X0, STEPS)
    # As for any objective: the loss that is not finite is that of state `at`.
    assert (run.status, run.steps) == ("not finite", at - 1)
    assert np.isfinite(run.metrics["loss"]).all()


def test_the_exact_start_takes_the_first_batch():
    method = tw.Method(tw.HeavyBall(stream(), 1.0), tw.Leapfrog(), 0.1)
    first = method.with_objective(stream().on(LIST[0]))
    run = tw.run(method, X0, 1)
    np.testing.assert_allclose(run.final.position, first.step(first.init(X0)).position, rtol=1e-14)


def test_other_batches_and_other_lengths_compile_nothing():
    traces = []

    def counted(x, s):
        traces.append(1)
        return one(x, s)

    tw.run(tw.momentum(tw.Stream(counted, LIST), 0.02), X0, 40)
    before = len(traces)
    # The check at the start traces the objective of each first batch once more at most.
    tw.run(tw.momentum(tw.Stream(counted, LIST[::-1]), 0.02), X0, 45)
    assert len(traces) == before


def test_data_may_be_of_any_kind_and_low_precision_stays(float16):
    batches = [(np.arange(4, dtype=np.uint8), np.array([True, False, True, True]), [np.ones((4, 2), float16)])] * 3
    f = tw.Stream(lambda x, s: jnp.sum((x - s[0] - s[2][0]) ** 2) * s[1], batches)
    run = tw.run(tw.gradient_descent(f, 0.125), jnp.zeros(2, jnp.float32), 3)
    # Of the true ones the mean of s is 1 + (0 + 2 + 3)/3; each step closes 3/4 * 2 * 0.125 of the gap.
    np.testing.assert_allclose(run.final.position, (8 / 3) * (1 - (1 - 3 / 16) ** 3), rtol=1e-6)
    assert run.final.position.dtype == np.float32


def test_what_needs_all_of_the_data_refuses_a_stream_in_one_line():
    f = stream()
    for attempt, says in (
        (lambda: tw.sweep(lambda learning_rate: tw.momentum(f, learning_rate), {"learning_rate": [0.1]}, X0, 3),
         "a sweep draws its mini-batches on the device, where a tw.Stream gives none; use a tw.FiniteSum"),
        (lambda: tw.compare([tw.momentum(f, 0.1)], X0), "compare needs the gradient over all of the data"),
        (lambda: f.gradient(X0), "a tw.Stream has no gradient over all of its data; use a tw.FiniteSum"),
        (lambda: tw.analysis.largest_curvature(f, X0), "a tw.Stream has no gradient over all of its data"),
        (lambda: tw.analysis.convergence_order(tw.momentum(f, 0.1), X0), "an order is measured with the full gradient"),
        (lambda: jax.jit(f.draw)(jax.random.key(0), 3), "gives its mini-batches to tw.run alone"),
        (lambda: tw.run(tw.sgld(f, 0.1, 1.0), X0, 3), "this method draws noise; give a key"),
        (lambda: stream("generator").draw(None, 60), "the batches end before step 60"),
    ):  # fmt: skip
        with pytest.raises(tw.InputError, match=says):
            attempt()
    np.testing.assert_array_equal(f.draw(None, 3)["x"], LIST[3]["x"])
    np.testing.assert_array_equal(stream("epochs").draw(None, 10)["x"], LIST[2]["x"])


def test_wrong_input_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)

    def started(batches):
        return lambda: tw.run(tw.momentum(tw.Stream(one, batches), 0.1), X0, 3, out=tmp_path / "run")

    for attempt, says in (
        (lambda: tw.Stream(one, 3), "batches must be a function of the step or an iterable of mini-batches, but is 3"),
        (lambda: tw.Stream(one, "data.npy"), "an iterable of mini-batches, but is 'data.npy'"),
        (lambda: tw.Stream(3, LIST), "fn must be a function of (x, sample), but is 3"),
        (lambda: tw.Stream(one, LIST, samples=0), "samples must be a whole number of at least 1, but is 0"),
        (lambda: tw.Stream(one, LIST, smoothness=-1.0), "smoothness must be at least 0"),
        (lambda: tw.Stream(one, LIST, ahead=1), "ahead must be True or False, but is 1"),
        (lambda: tw.Stream(one, LIST, keyed=1), "keyed must be True or False, but is 1"),
        (started([]), "batches must hold at least one mini-batch, but is empty"),
        (started(np.array(1.0)), "batches raised TypeError: iteration over a 0-d array at step 0"),
        (started(np.arange(3.0)), "every array in the batch of step 0 must have the same non-empty leading axis, but "
         "their shapes are ()"),
        (started([DATA["x"][:0]]), "the same non-empty leading axis, but their shapes are (0, 3)"),
        (started([(np.ones(3), np.ones(4))]), "the same non-empty leading axis, but their shapes are (3,), (4,)"),
        (started([None]), "the same non-empty leading axis, but their shapes are that it holds none"),
        (started([{"x": ["a", "b"]}]), "the batch of step 0 must be arrays of numbers, but holds str"),
        (started([np.array(["a", "b"])]), "the batch of step 0 must be arrays of numbers, but holds an array of <U1"),
        (started({"x": DATA["x"]}), "the batch of step 0 must be arrays of numbers, but holds str"),
        (started(lambda: iter(LIST)), "batches(0) raised TypeError: "),
        (started(lambda step: iter(LIST)), "the batch of step 0 must be arrays of numbers, but is a list_iterator"),
        (started([DATA["x"][:4]]), "the objective raised TypeError at the start of shape (3,)"),
    ):  # fmt: skip
        with pytest.raises(tw.InputError, match=re.escape(says)) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_endless_generator_serves_a_run():
    def endless():
        for k in itertools.count():
            yield LIST[k % 8]

    alike(
        tw.run(METHODS["nesterov"](tw.Stream(one, endless())), X0, STEPS),
        tw.run(METHODS["nesterov"](stream("epochs")), X0, STEPS),
    )


@jax.custom_jvp
def broken(y, bad):
    return 0.0 * bad


@broken.defjvp
def _(primals, tangents):
    return 0.0 * primals[1], jnp.where(primals[1] > 0, jnp.nan, 1.0) * tangents[0]


@pytest.mark.parametrize("record", ["loss", None])
@pytest.mark.parametrize("at", [0, 20, 49])
def test_a_slope_that_is_not_finite_where_the_loss_is(at, record):
    """The step is found by making steps again, each from its own batch."""
    f = tw.Stream(lambda x, s: 0.5 * (x[0] - 1.0) ** 2 + broken(x[1], s), lambda k: np.full(4, float(k == at + 1)))
    run = tw.run(tw.gradient_descent(f, 0.1), jnp.ones(2), 60, record=record)
    assert (run.status, run.steps) == ("not finite", at + 1)
    np.testing.assert_allclose(run.final.position, [1.0, 1.0 - 0.1 * (at + 1)], atol=1e-14)
