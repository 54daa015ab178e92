"""A neural ODE: values and derivatives of `tw.solve` beside those of diffrax, at fixed and at adaptive steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.test_peers import classical_rk4

diffrax = pytest.importorskip("diffrax")

NET = eqx.nn.MLP(3, 3, 8, 1, activation=jnp.tanh, key=jax.random.key(3))
START = jnp.array([1.0, -0.5, 0.3])
UNTIL, STEPS, FIRST = 2.0, 40, 1.5


def field(t, x, net):
    return net(x) - 0.3 * x + 0.2 * jnp.sin(t)


def cost(ends):
    return jnp.sum(jnp.cos(ends) * jnp.arange(1.0, 4.0))


def theirs(net, x0, solver, controller, first):
    solved = diffrax.diffeqsolve(
        diffrax.ODETerm(field), solver, 0.0, UNTIL, first, x0, args=net, stepsize_controller=controller, max_steps=100,
    )  # fmt: skip
    return cost(solved.ys[-1])


def derivatives(of):
    """A value and its derivatives with respect to the network and to the start."""
    return eqx.filter_jit(eqx.filter_value_and_grad(lambda both: of(*both)))((NET, START))


def check(ours, theirs):
    wanted = jax.tree.leaves(derivatives(theirs))
    assert len(wanted) == 6 and all(np.max(np.abs(leaf)) > 1e-3 for leaf in wanted)
    for gradient in ("direct", "checkpoint"):
        found = jax.tree.leaves(derivatives(lambda net, x0, gradient=gradient: ours(net, x0, gradient)))
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RK4", "Tsit5"])
def test_fixed_steps_have_the_derivatives_of_diffrax(name):
    solver = diffrax.Tsit5() if name == "Tsit5" else classical_rk4(diffrax)

    def ours(net, x0, gradient):
        method = tw.Method(tw.Field(field, net), getattr(tw, name)(), UNTIL / STEPS)
        return cost(tw.solve(method, x0, STEPS, gradient=gradient).final.position)

    check(ours, lambda net, x0: theirs(net, x0, solver, diffrax.ConstantStepSize(), UNTIL / STEPS))


@pytest.mark.slow
def test_adaptive_steps_have_the_derivatives_of_diffrax():
    scheme = tw.Adaptive(tw.Tsit5(), rtol=1e-6, atol=1e-8, until=UNTIL)
    run = tw.run(tw.Method(tw.Field(field, NET), scheme, FIRST), START, 40)
    assert run.status == "finished" and "0 rejected" not in run.message

    def ours(net, x0, gradient):
        return cost(tw.solve(tw.Method(tw.Field(field, net), scheme, FIRST), x0, 40, gradient=gradient).final.position)

    controller = diffrax.PIDController(rtol=1e-6, atol=1e-8)
    check(ours, lambda net, x0: theirs(net, x0, diffrax.Tsit5(), controller, FIRST))
