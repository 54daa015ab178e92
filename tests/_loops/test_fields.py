"""Runs along a field: no objective, any tree, evaluations counted."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw


def oscillator(t, x, args):
    del t
    return {"p": x["v"], "v": -args["k"] * x["p"]}


FIELD = tw.Field(oscillator, {"k": jnp.array(4.0)})
START = {"p": jnp.ones((2, 2)), "v": jnp.zeros((2, 2))}


def test_a_run_is_its_steps_on_the_tree():
    method = tw.Method(FIELD, tw.RK4(), 0.05)
    run = tw.run(method, START, 20, record=tw.Record(positions=5))
    state = method.init(START)
    for _ in range(20):
        state = method.step(state)
    for name in START:
        np.testing.assert_allclose(run.final.position[name], state.position[name], rtol=1e-14)
    np.testing.assert_allclose(run.final.position["p"], np.cos(2.0) * np.ones((2, 2)), atol=1e-5)
    assert set(run.metrics) == {"step", "time"}
    assert run.gradients == 80
    assert run.trace.position["p"].shape == (5, 2, 2)


def test_a_run_along_a_field_is_kept_and_goes_on(tmp_path):
    method = tw.Method(FIELD, tw.Tsit5(), 0.05)
    record = ("energy", lambda seen: jnp.sum(4.0 * seen.position["p"] ** 2 + seen.position["v"] ** 2))
    tw.run(method, START, 7, record=record, out=tmp_path / "run")
    resumed = tw.run(method, START, 25, record=record, out=tmp_path / "run", resume=True)
    whole = tw.run(method, START, 25, record=record)
    np.testing.assert_array_equal(whole.metrics["energy"], resumed.metrics["energy"])
    np.testing.assert_array_equal(whole.final.position["p"], resumed.final.position["p"])
    np.testing.assert_allclose(whole.metrics["energy"], 16.0, rtol=1e-6)
    read = tw.Run.load(tmp_path / "run")
    np.testing.assert_array_equal(read.final.position["p"], whole.final.position["p"])
    assert "oscillator" in read.config["objective"]["name"]


def test_its_time_goes_in():
    run = tw.run(tw.Method(tw.Field(lambda t, x, args: 3.0 * t**2 + 0 * x), tw.RK4(), 0.5), jnp.array([1.0]), 4)
    np.testing.assert_allclose(run.final.position, [9.0], rtol=1e-14)


def test_a_field_that_blows_up_ends_at_its_last_finite_state():
    run = tw.run(tw.Method(tw.Field(lambda t, x, args: x**2), tw.Euler(), 1.0), jnp.array([1.0]), 50)
    assert run.status == "not finite"
    assert np.isfinite(run.final.position).all()
    assert not np.isfinite(run.final.position + run.final.position**2).all()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (lambda t, x, args: x["missing"], "Field raised KeyError at the start"),
        (lambda t, x, args: {"p": x["p"]}, "a field must give a tree like x"),
        (lambda t, x, args: {"p": x["p"][0], "v": x["v"]}, r"of the shapes of x, \(2, 2\), \(2, 2\), but gives \(2,\)"),
        (lambda t, x, args: {"p": 1j * x["p"], "v": x["v"]}, "a field must give real numbers"),
        (lambda t, x, args: {"p": x["p"] / 0, "v": x["v"]}, "not finite at the start"),
    ],
)
def test_a_field_that_cannot_be_followed_is_refused_in_one_line(field, message, tmp_path):
    with pytest.raises(tw.InputError, match=message) as raised:
        tw.run(tw.Method(tw.Field(field), tw.RK4(), 0.1), START, 3, out=tmp_path / "run")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_what_a_field_has_not_is_refused():
    method = tw.Method(FIELD, tw.RK4(), 0.1)
    for record in ("loss", "gradient_norm"):
        with pytest.raises(tw.InputError, match=f"metric '{record}' is of an objective"):
            tw.run(method, START, 3, record=record)
    with pytest.raises(tw.InputError, match="without an objective"):
        tw.run(tw.momentum(None, 0.1, 0.9), START, 3)


def test_of_single_precision_it_stays():
    start = {"p": jnp.ones(2, jnp.float32), "v": jnp.zeros(2, jnp.bfloat16)}
    run = tw.run(tw.Method(FIELD, tw.Heun(), 0.1), start, 5)
    assert [run.final.position[k].dtype for k in ("p", "v")] == [jnp.float32, jnp.bfloat16]


def test_the_order_along_a_field_is_measured_against_a_reference():
    field = tw.Field(lambda t, x, args: jnp.stack([x[1], (1 - x[0] ** 2) * x[1] - x[0] + 0.1 * jnp.cos(t)]))
    start, errors = jnp.array([1.0, 0.5]), []
    exact = tw.solve(tw.Method(field, tw.Tsit5(), times=jnp.linspace(0, 2, 801)), start).final.position
    for steps in (20, 40):
        found = tw.solve(tw.Method(field, tw.RK4(), 2.0 / steps), start, steps).final.position
        errors.append(float(jnp.linalg.norm(found - exact)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4.0, abs=0.15)
