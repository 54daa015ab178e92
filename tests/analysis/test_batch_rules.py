"""Rules for another batch size, each by what it says that it keeps."""

import pytest

import thalweg as tw


def test_each_rule_keeps_what_it_says():
    rules = tw.analysis.batch_rules(tw.Hyperparameters(0.1, 0.9, batch_size=64), 128)
    was = rules["as it is"]
    assert [one.rule for one in rules.rules] == ["as it is", "linear", "square root", "law"] and rules.ratio == 2.0
    assert rules["linear"].temperature == pytest.approx(was.temperature)
    assert rules["linear"].friction != pytest.approx(was.friction, rel=0.1)
    assert rules["square root"].step_noise == pytest.approx(was.step_noise)
    assert rules["square root"].temperature == pytest.approx(was.temperature / 2.0**0.5)
    law = rules["law"]
    assert (law.temperature, law.friction) == pytest.approx((was.temperature, was.friction))
    assert law.step == pytest.approx(2.0 * was.step)
    assert "friction and temperature" in repr(rules) and rules.as_list()[1]["hyperparameters"]["learning_rate"] == 0.2


def test_a_rule_that_cannot_be_followed_says_why():
    rules = tw.analysis.batch_rules(tw.Hyperparameters(0.1, 0.9, batch_size=64), 6400)
    assert rules["law"].hyperparameters is None and "negative momentum" in rules["law"].why
    adam = tw.analysis.batch_rules(tw.AdamHyperparameters(1e-3, batch_size=256), 1024)
    assert adam["square root"].hyperparameters.learning_rate == pytest.approx(2e-3)
    assert adam["linear"].hyperparameters.learning_rate == pytest.approx(4e-3)
    with pytest.raises(tw.InputError, match="a new batch_size needs the one that it replaces"):
        tw.analysis.batch_rules(tw.Hyperparameters(0.1, 0.9), 128)
