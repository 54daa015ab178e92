"""thalweg translate."""

import pytest

import thalweg as tw


def test_json_is_a_row_a_framework(thalweg):
    outcome = thalweg("translate", 0.1, 0.9, "--batch-size", 256, "--curvature", 4, "--json")
    assert outcome.err == ""
    translation = tw.translate(tw.Hyperparameters(0.1, 0.9, batch_size=256.0), 4.0)
    assert outcome.rows == [{"settings": "as given"} | row for row in translation.as_list()]
    assert [row["framework"] for row in outcome.rows] == ["torch", "optax", "keras", "ema", "thalweg"]


def test_retuned(thalweg):
    rows = thalweg("translate", 0.1, 0.9, "--batch-size", 256, "--retune", "learning-rate=0.01", "--json").rows
    assert [row["settings"] for row in rows] == ["as given"] * 5 + ["retuned"] * 5
    assert rows[5]["learning_rate"] == 0.01
    assert rows[5]["friction"] == pytest.approx(rows[0]["friction"], rel=1e-12)
    assert rows[5]["temperature"] == pytest.approx(rows[0]["temperature"], rel=1e-12)


def test_adam(thalweg):
    rows = thalweg(
        "translate", 1e-3, "--beta2", 0.99, "--weight-decay", 0.1, "--retune", "learning_rate=1e-4", "--json"
    )
    first, *_, last = rows.rows
    assert first["code"].startswith("torch.optim.AdamW(params, lr=0.001, betas=(0.9, 0.99), eps=1e-08")
    assert (last["settings"], last["learning_rate"], last["beta2"]) == ("retuned", 1e-4, pytest.approx(0.99**0.1))
    assert last["first"] == pytest.approx(first["first"]) and last["step"] == 1e-4
    text = thalweg("translate", 1e-3, "--beta1", 0.5, "--batch-size", 8, "--retune", "batch_size=16").out
    assert "epsilon stands before the correction" in text and "the stochastic differential equation" in text


def test_lion_and_muon(thalweg):
    rows = thalweg("translate", 1e-4, "--optimizer", "lion", "--retune", "learning_rate=1e-5", "--json").rows
    assert rows[0]["code"] is None and rows[0]["why"].startswith("torch has no Lion")
    assert rows[2]["code"] == "keras.optimizers.Lion(learning_rate=0.0001, beta_1=0.9, beta_2=0.99, weight_decay=0)"
    assert rows[-1]["beta2"] == pytest.approx(0.99**0.1) and rows[-1]["share"] == pytest.approx(0.9 / 0.99)
    out = thalweg("translate", 0.02, "--beta", 0.9, "--scaling", "match_rms_adamw").out
    assert (
        "momentum=0.9, nesterov=True, weight_decay=0, adjust_lr_fn='match_rms_adamw')  # weights lie (out, in)" in out
    )
    assert "consistent_rms=0.2" in out and "rms_rate=0.2" in out


def test_text_is_ready_to_paste(thalweg):
    out = thalweg("translate", 0.1, 0.9, "--nesterov", "--curvature", 1).out
    assert "torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)" in out
    assert "keras.optimizers.SGD(learning_rate=0.1, momentum=0.9, nesterov=True)" in out
    assert "none: optax.ema has no Nesterov form" in out
    assert "1.357" in out  # (2 + 2 * 0.9)/(1 + 2 * 0.9)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("0.1", "--beta1", "0.9", "--nesterov"), "--nesterov is not of Adam, which --beta1 says it is; leave it out"),
        (("0.1", "--coupled"), "--coupled is of Adam; give --beta1, --beta2 or --epsilon with it"),
        (("0.1", "--beta1", "0.9", "--retune", "momentum=0.5"), "--retune momentum= is not of Adam"),
        (
            ("0.1", "--optimizer", "lion", "--epsilon", "1"),
            "--epsilon is not of Lion, which --optimizer lion says it is",
        ),
        (("0.1", "--optimizer", "muons"), "did you mean 'muon'?"),
        (("0.1", "--beta", "0.9", "--curvature", "1"), "a curvature of f tells no limit of Muon"),
        (("0.1", "--beta", "0.9", "--retune", "batch_size=2"), "--retune batch_size= is not of Muon"),
        (("0.1", "1.0"), "momentum must be less than 1, but is 1"),
        (("-0.1",), "learning_rate must be greater than 0, but is -0.1"),
        (("0.1", "0.9", "--nesterov", "--dampening", "0.1"), "nesterov needs dampening 0, as in torch"),
        (("0.1", "0.9", "--convention", "pytorch"), "did you mean 'torch'?"),
        (("0.1", "0.9", "--retune", "lr=1"), "must be written learning_rate=VALUE"),
        (("0.1", "0.9", "--retune", "momentum=high"), "--retune momentum must be a number, but is 'high'"),
        (("0.1", "0.9", "--retune", "batch_size=3"), "needs the one that it replaces"),
        (("0.1", "0.9", "--curvature", "-1"), "curvature must be greater than 0"),
        (("fast",), "fast"),
    ],
)
def test_wrong_input_is_one_line(thalweg, arguments, says):
    outcome = thalweg("translate", *arguments, status=2)
    assert says in outcome.err
    assert (outcome.err.count("\n"), outcome.out) == (1, "")
