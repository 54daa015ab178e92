"""Trajectories equal those of torch, optax and diffrax, in float64."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thalweg as tw

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

STEPS, SETTINGS, DIMENSION = 1000, 50, 4
RNG = np.random.default_rng(2016)
SPECTRUM = np.geomspace(0.02, 1.0, DIMENSION)
BASIS = np.linalg.qr(RNG.normal(size=(DIMENSION, DIMENSION)))[0]
HESSIAN = BASIS @ np.diag(SPECTRUM) @ BASIS.T
FEATURES = RNG.normal(size=(12, DIMENSION)) / np.sqrt(DIMENSION)
STARTS = RNG.normal(size=(SETTINGS, DIMENSION))
# Beyond 0.998 a thousand steps of these two functions magnify the rounding of one step past 1e-12,
# between torch and optax as well.
MOMENTUM = 0.99 * (1.0 - RNG.uniform(size=SETTINGS) ** 2)
MOMENTUM[:3] = 0.0, 0.9, 0.99
# Up to 95 % of Nesterov's limit, the narrowest, at curvature 2, a bound of both functions'.
LEARNING_RATE = RNG.uniform(0.02, 0.95, size=SETTINGS) * (2 + 2 * MOMENTUM) / (1 + 2 * MOMENTUM) / 2.0


def quadratic(x):
    return 0.5 * x @ (jnp.asarray(HESSIAN) @ x)


def logistic(x):
    """A sum of softplus terms and a small quadratic: convex, curved differently everywhere."""
    return jnp.mean(jax.nn.softplus(3.0 * jnp.asarray(FEATURES) @ x)) + 0.01 * x @ x


def torch_quadratic(points):
    return 0.5 * ((points @ torch.as_tensor(HESSIAN)) * points).sum(1)


def torch_logistic(points):
    bends = torch.nn.functional.softplus(3.0 * points @ torch.as_tensor(FEATURES).T, threshold=100.0)
    return bends.mean(1) + 0.01 * (points * points).sum(1)


PAIRS = {"quadratic": (quadratic, torch_quadratic), "logistic": (logistic, torch_logistic)}


def batched(fn):
    """The gradients of a whole stack of points by torch's autograd, one backward pass for all."""

    def gradients(points):
        points = points.detach().requires_grad_()
        fn(points).sum().backward()
        return points.grad

    return gradients


@functools.cache
def torch_paths(fn, nesterov):
    """One optimizer with a group for each setting: (settings, steps + 1, dimension)."""
    parameters = [torch.tensor(start, dtype=torch.float64) for start in STARTS]
    groups = [
        {"params": [p], "lr": float(a), "momentum": float(b), "nesterov": nesterov and b > 0}
        for p, a, b in zip(parameters, LEARNING_RATE, MOMENTUM, strict=True)
    ]
    optimizer = torch.optim.SGD(groups)
    gradients = batched(fn)
    paths = [torch.stack(parameters).numpy().copy()]
    for _ in range(STEPS):
        for p, gradient in zip(parameters, gradients(torch.stack(parameters)), strict=True):
            p.grad = gradient
        optimizer.step()
        paths.append(torch.stack(parameters).numpy().copy())
    return np.stack(paths, axis=1)


@eqx.filter_jit
def optax_paths(fn, nesterov):
    def walk(start, learning_rate, momentum):
        optimizer = optax.sgd(learning_rate, momentum, nesterov=nesterov)

        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(jax.grad(fn)(x), state)
            return (optax.apply_updates(x, updates), state), x

        return jax.lax.scan(step, (start, optimizer.init(start)), None, STEPS + 1)[1]

    return jax.vmap(walk)(jnp.asarray(STARTS), jnp.asarray(LEARNING_RATE), jnp.asarray(MOMENTUM))


@eqx.filter_jit
def our_paths(fn, nesterov):
    alias = tw.nesterov if nesterov else tw.momentum

    def walk(start, learning_rate, momentum):
        method = alias(fn, learning_rate, momentum)

        def step(state, _):
            return method.step(state), state.lookahead if nesterov else state.position

        return jax.lax.scan(step, method.init(start), None, STEPS + 1)[1]

    return jax.vmap(walk)(jnp.asarray(STARTS), jnp.asarray(LEARNING_RATE), jnp.asarray(MOMENTUM))


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
@pytest.mark.parametrize("name", PAIRS)
def test_fifty_settings_go_the_way_of_torch_and_optax(name, nesterov):
    fn, torch_fn = PAIRS[name]
    ours = np.asarray(our_paths(fn, nesterov))
    assert ours.shape == (SETTINGS, STEPS + 1, DIMENSION)
    np.testing.assert_allclose(ours, torch_paths(torch_fn, nesterov), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours, optax_paths(fn, nesterov), rtol=0, atol=1e-12)
    other = np.asarray(our_paths(fn, not nesterov))
    apart = np.max(np.abs(other - ours), axis=(1, 2))
    assert np.all(apart[MOMENTUM > 0.05] > 1e-6), "momentum and Nesterov are distinguished"


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_a_run_records_that_path(nesterov):
    k = 7
    alias = tw.nesterov if nesterov else tw.momentum
    method = alias(logistic, LEARNING_RATE[k], MOMENTUM[k])
    run = tw.run(method, jnp.asarray(STARTS[k]), STEPS, record=1)
    theirs = torch_paths(torch_logistic, nesterov)[k]
    final = run.final.lookahead if nesterov else run.final.position
    np.testing.assert_allclose(final, theirs[-1], rtol=0, atol=1e-12)
    # The shifted point is the position and the displacement looked along.
    shift = MOMENTUM[k] * float(method.step_size) if nesterov else 0.0
    np.testing.assert_allclose(run.trace.position + shift * run.trace.velocity, theirs, rtol=0, atol=1e-12)


def classical_rk4(diffrax):
    """diffrax has no classical Runge-Kutta method, but its explicit solver takes a tableau."""

    class RK4(diffrax.AbstractERK):
        tableau = diffrax.ButcherTableau(
            c=np.array([0.5, 0.5, 1.0]),
            a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
            b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
            b_error=np.array([1.0, -1.0, 0.0, 0.0]),
        )
        interpolation_cls = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

        def order(self, terms):
            del terms
            return 4

    return RK4()


@pytest.mark.parametrize("name", ["RK4", "Tsit5"])
@pytest.mark.parametrize("second_order", [False, True], ids=["gradient flow", "heavy ball"])
def test_runge_kutta_goes_the_way_of_diffrax(name, second_order):
    diffrax = pytest.importorskip("diffrax")
    solver = diffrax.Tsit5() if name == "Tsit5" else classical_rk4(diffrax)
    h, steps, friction, mass = 0.125, 200, 0.4, 1.5
    x0, v0 = jnp.asarray(STARTS[0]), jnp.asarray(STARTS[1])

    def field(t, y, args):
        del t, args
        if not second_order:
            return -jax.grad(logistic)(y)
        x, v = y
        return v, -(jax.grad(logistic)(x) + friction * v) / mass

    solved = diffrax.diffeqsolve(
        diffrax.ODETerm(field), solver, 0.0, h * steps, h, (x0, v0) if second_order else x0,
        saveat=diffrax.SaveAt(steps=True, t0=True), stepsize_controller=diffrax.ConstantStepSize(), max_steps=steps,
    )  # fmt: skip
    law = tw.HeavyBall(logistic, friction, mass) if second_order else tw.GradientFlow(logistic)
    scheme = {"RK4": tw.RK4, "Tsit5": tw.Tsit5}[name]()
    run = tw.run(tw.Method(law, scheme, h), x0, steps, record=1, velocity=v0 if second_order else None)
    theirs, velocity = solved.ys if second_order else (solved.ys, None)
    np.testing.assert_allclose(run.trace.position, theirs, rtol=0, atol=1e-12)
    if second_order:
        np.testing.assert_allclose(run.trace.velocity, velocity, rtol=0, atol=1e-12)
    assert np.max(np.abs(np.diff(theirs, axis=0))) > 0.01
