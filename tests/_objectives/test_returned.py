"""Objectives as people write them: what they return is taken, or refused with the way out."""

import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw

X0 = jnp.array([1.0, -2.0])


def bowl(x):
    return 0.5 * jnp.sum(x**2)


@pytest.mark.parametrize("number", [3.5, 2, np.float64(3.5)])
def test_a_python_number_is_a_constant(number):
    f = tw.Objective(lambda x: number)
    value, gradient = f.value_and_gradient(X0)
    assert float(value) == number
    assert gradient.tolist() == [0.0, 0.0]
    run = tw.run(tw.gradient_descent(f, 0.1), X0, 2)
    assert run.metrics["loss"].tolist() == [number] * 3
    assert run.final.position.tolist() == X0.tolist()


def test_a_python_number_takes_the_precision_of_the_parameters():
    f = tw.Objective(lambda x: 1.0)
    assert f.value(X0.astype(jnp.float32)).dtype == jnp.float32
    assert tw.FiniteSum(lambda x, s: 1.0, jnp.ones(3)).value(X0.astype(jnp.float32)).dtype == jnp.float32


def test_an_empty_leaf_among_others():
    x0 = {"weights": X0, "nothing": jnp.zeros((0, 3)), "bias": jnp.array(1.0)}

    def f(x):
        return bowl(x["weights"]) + jnp.sum(x["nothing"]) + 0.5 * x["bias"] ** 2

    for method in (tw.gradient_descent(f, 0.5), tw.momentum(f, 0.5, 0.0)):
        run = tw.run(method, x0, 2, record=tw.Record(("loss", "gradient_norm"), positions=1))
        assert run.final.position["weights"].tolist() == (0.25 * X0).tolist()
        assert run.final.position["nothing"].shape == (0, 3)
        assert run.trace.position["nothing"].shape == (3, 0, 3)
    found = tw.solve(tw.gradient_descent(f, 0.5), x0, 2).final.position
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, x0)


@pytest.mark.slow
def test_an_empty_leaf_is_minimised_swept_and_kept(tmp_path):
    x0 = {"weights": X0, "nothing": jnp.zeros(0)}

    def f(x):
        return bowl(x["weights"])

    assert tw.minimize(f, x0).status == "converged"
    swept = tw.sweep(lambda a: tw.gradient_descent(f, a), {"a": [0.5, 0.1]}, x0, 3)
    assert swept.final["nothing"].shape == (2, 1, 0)
    tw.run(tw.gradient_descent(f, 0.5), x0, 2, out=tmp_path / "run")
    assert tw.Run.load(tmp_path / "run").final.position["nothing"].shape == (0,)


def test_nothing_but_empty_leaves():
    with pytest.raises(tw.InputError, match="must hold at least one parameter"):
        tw.run(tw.gradient_descent(bowl, 0.1), {"a": jnp.zeros(0), "b": jnp.zeros((2, 0))}, 1)


@pytest.mark.parametrize(
    ("f", "x0", "way"),
    [
        (lambda x: jnp.sum(x) * 1j, X0, "returns complex128; take jnp.real or jnp.abs of it"),
        (bowl, X0 * 1j, r"holds complex128; move its parts, {'real': z.real, 'imag': z.imag}"),
        (bowl, np.array([1.0, 2.0], object), "holds an array of object; cast it with astype"),
        (lambda x: float(np.exp(np.asarray(x)).sum()), X0, "write it with jax.numpy instead of numpy; as it is, SciPy"),
        (lambda x: np.dot(np.array([1.0, 2.0]), np.array(x)), X0, "tw.adapters.scipy.minimizer"),
        (lambda x: math.sin(x[0]), X0, r"return an array of jax.numpy, without float\(\), math or .item\(\)"),
        (lambda x: bowl(x) if x[0] > 0 else 0.0, X0, "choose with jnp.where instead of if"),
        (lambda x: [1.0, 2.0][x.astype(int)[0]] * x[0], X0, "index arrays of jax.numpy"),
        (lambda x: (bowl(x), {"aux": x}), X0, r"returns tuple; of \(loss, aux\) return the loss alone, .* has_aux"),
    ],
)
def test_the_way_out_is_said(f, x0, way, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=way) as caught:
        tw.run(tw.gradient_descent(f, 0.1), x0, 1)
    assert "\n" not in str(caught.value)
