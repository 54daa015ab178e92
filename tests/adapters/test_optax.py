"""A method as a gradient transformation: the way of optax's own, in every place a transformation goes."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

import thalweg as tw
from tests.rows import few, flat
from thalweg.adapters.optax import transformation


@pytest.fixture
def unchecked(monkeypatch):
    """Without the types of arguments, as users have it."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


START = {"w": jnp.linspace(-1.0, 2.0, 6).reshape(2, 3), "b": jnp.array([0.3, -0.2])}
SETTINGS, STEPS = 50, 200


def loss(p):
    """A bowl with bumps, in which the leaves pull at each other."""
    return 0.5 * jnp.sum(p["w"] ** 2) + jnp.sum(jnp.cos(p["w"] @ jnp.ones(3) + p["b"])) + jnp.sum(p["b"] ** 2)


def walk(optimizer, start=START, steps=STEPS, fn=loss, **extra):
    """The parameters after every step of a jitted loop."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(fn)(params), state, params, **extra)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.jit(lambda p: jax.lax.scan(step, (p, optimizer.init(p)), None, steps)[1])(start)


def agree(found, expected, tolerance=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=tolerance), found, expected)


@pytest.mark.parametrize("kind", ["descent", "momentum", "nesterov"])
def test_the_way_of_optax(kind, rng):
    """Fifty settings side by side: under vmap as well."""
    rates, momenta = np.exp(rng.uniform(-7, -2, SETTINGS)), rng.uniform(0.05, 0.99, SETTINGS)

    def ours(a, b):
        methods = {
            "descent": lambda: tw.gradient_descent(None, a),
            "momentum": lambda: tw.momentum(None, a, b),
            "nesterov": lambda: tw.nesterov(None, a, b),
        }
        return walk(transformation(methods[kind]()))

    def theirs(a, b):
        return walk(optax.sgd(a, None if kind == "descent" else b, nesterov=kind == "nesterov"))

    agree(jax.vmap(ours)(rates, momenta), jax.vmap(theirs)(rates, momenta))


ROWS = [row for row in flat(tw.table()) if not row.method.normals]


@pytest.mark.parametrize("row", few(ROWS, "gradient_descent", "rk4", "momentum", "nesterov", "heavy_ball_euler"))
def test_every_row_goes_its_own_way(row):
    if row.method.gradients_at_start:
        # Asked here, since what is counted for every row at once keeps the collection of the tests waiting.
        with pytest.raises(tw.InputError, match="needs a gradient before its first step"):
            transformation(row.method)
        return
    method = row.build(loss, **{next(iter(row.defaults)): 0.05})
    if hasattr(method.scheme, "failures"):
        # Solved as far as the digits go, since two programs may solve to a tolerance in another number of iterations.
        method = tw.Method(method.dynamics, dataclasses.replace(method.scheme, tolerance=0.0), method.step_size)
    run = tw.run(method, START, 20, record=tw.Record((), positions=1))
    several = {"value_fn": loss} if method.gradients_per_step > 1 or row.method.gradients_vary else {}
    found = walk(transformation(method.with_objective(None)), steps=20, **several)
    if isinstance(row.scheme.linearised(), tw.Lookahead):
        agree(jax.tree.map(lambda leaf: leaf[-1], found), run.final.lookahead, 1e-13)
    else:
        agree(found, jax.tree.map(lambda leaf: leaf[1:], run.trace.position), 1e-13)


def test_the_first_gradient_is_the_loops():
    """Of Runge-Kutta's four gradients the loop has taken one already."""
    taken = []

    def counted(p):
        jax.debug.callback(lambda: taken.append(1))
        return loss(p)

    optimizer = transformation(tw.Method(tw.GradientFlow(None), tw.RK4(), 0.1))
    gradient, state = jax.grad(loss)(START), optimizer.init(START)
    optimizer.update(gradient, state, START, value_fn=counted, grad=gradient)
    jax.effects_barrier()
    assert len(taken) == 3
    # Without knowing that it is the gradient, it is compared.
    optimizer.update(gradient, state, START, value_fn=counted)
    jax.effects_barrier()
    assert len(taken) == 7


def test_a_method_without_an_objective_has_no_say_on_it():
    method = tw.momentum(lambda p: 1e6 * loss(p), 0.05, 0.9)
    agree(walk(transformation(method)), walk(optax.sgd(0.05, 0.9)))


def test_in_a_chain():
    links = optax.clip_by_global_norm(0.5), optax.add_decayed_weights(0.1)
    ours = optax.chain(*links, transformation(tw.nesterov(None, 0.05, 0.9)))
    agree(walk(ours), walk(optax.chain(*links, optax.sgd(0.05, 0.9, nesterov=True))))


def test_masked():
    mask = {"w": True, "b": False}
    ours = optax.masked(transformation(tw.momentum(None, 0.05, 0.9)), mask)
    theirs = optax.masked(optax.sgd(0.05, 0.9), mask)
    agree(walk(ours, steps=5), walk(theirs, steps=5))


# XLA's older emitter, of the quick tests, rounds a schedule otherwise where it is compiled with a step.
@pytest.mark.slow
@pytest.mark.parametrize("nesterov", [False, True])
def test_injected_schedules_are_those_of_optax(nesterov):
    """The buffer stays as it is, as in optax, where the learning rate, or the momentum, changes."""
    rate = optax.piecewise_constant_schedule(0.05, {10: 2.0, 20: 0.1})
    momentum = optax.linear_schedule(0.5, 0.95, 30)
    make = tw.nesterov if nesterov else tw.momentum
    ours = optax.inject_hyperparams(lambda a, b: transformation(make(None, a, b)))(rate, momentum)
    theirs = optax.inject_hyperparams(optax.sgd, static_args="nesterov")(rate, momentum, nesterov=nesterov)
    agree(walk(ours, steps=40), walk(theirs, steps=40))


def test_constant_injected_hyperparameters():
    injected = optax.inject_hyperparams(lambda rate, beta: transformation(tw.nesterov(None, rate, beta)))(0.05, 0.9)
    agree(walk(injected), walk(optax.sgd(0.05, 0.9, nesterov=True)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("make", [tw.momentum, tw.nesterov])
def test_low_precision_stays(dtype, make):
    low = jax.tree.map(lambda leaf: leaf.astype(dtype), START)
    optimizer = transformation(make(None, 0.05, 0.9))
    updates, state = optimizer.update(jax.grad(loss)(low), optimizer.init(low), low)
    assert {leaf.dtype for leaf in jax.tree.leaves((updates, state.buffer))} == {jnp.dtype(dtype)}
    tolerance = 8 * float(jnp.finfo(dtype).eps)
    exact = walk(optimizer, steps=10)
    agree(jax.tree.map(lambda leaf: leaf.astype(float), walk(optimizer, low, 10)), exact, tolerance)


def test_the_state_holds_one_vector_as_optax_does():
    for make in (tw.momentum, tw.nesterov):
        state = transformation(make(None, 0.05, 0.9)).init(START)
        assert sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim) == 8
    assert all(not leaf.ndim for leaf in jax.tree.leaves(transformation(tw.gradient_descent(None, 0.1)).init(START)))


SHARDED = """
import jax, jax.numpy as jnp, numpy as np, optax
import thalweg as tw
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

assert len(jax.devices()) == 4
placed = NamedSharding(Mesh(np.array(jax.devices()), ("d",)), P("d"))
x0 = jax.device_put(jnp.linspace(-1.0, 2.0, 8), placed)
optimizer = tw.adapters.optax.transformation(tw.nesterov(None, 0.05, 0.9))
peer = optax.sgd(0.05, 0.9, nesterov=True)
f = lambda x: 0.5 * jnp.sum(jnp.arange(1.0, 9.0) * x**2)


def end(optimizer):
    @jax.jit
    def step(x, state):
        updates, state = optimizer.update(jax.grad(f)(x), state, x)
        return optax.apply_updates(x, updates), state

    x, state = x0, optimizer.init(x0)
    for _ in range(20):
        x, state = step(x, state)
    return x, state


(x, state), (y, _) = end(optimizer), end(peer)
np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)
assert x.sharding.is_equivalent_to(placed, 1) and state.buffer.sharding.is_equivalent_to(placed, 1)
"""


def test_sharded():
    env = dict(
        os.environ, JAX_ENABLE_X64="1", XLA_FLAGS="--xla_force_host_platform_device_count=4",
        PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", SHARDED], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


RK4 = tw.Method(tw.GradientFlow(None), tw.RK4(), 0.1)
CLIP = optax.clip_by_global_norm(0.5)
CHANGES = {"clip": CLIP, "decay": optax.add_decayed_weights(0.01), "noise": optax.add_noise(0.1, 0.5, 0)}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("given", [False, True], ids=["", "gradient given"])
def test_what_would_change_one_of_several_gradients_is_refused(change, given):
    optimizer, gradient = optax.chain(CHANGES[change], transformation(RK4)), jax.grad(loss)(START)
    known = {"grad": gradient} if given else {}
    with pytest.raises(tw.InputError, match=r"changed the first of the gradients .* transformation\(method, before="):
        optimizer.update(gradient, optimizer.init(START), START, value_fn=loss, **known)


def test_what_would_change_one_of_several_gradients_is_refused_when_compiled():
    with pytest.raises(Exception, match="has changed the first of the gradients of its step"):
        walk(optax.chain(CLIP, transformation(RK4)), steps=2, value_fn=loss)


def test_a_change_inside_changes_every_gradient():
    """A weight decay is the way down a loss that has it; a clip of one gradient is optax's own chain."""
    decay = 0.2

    def heavier(p):
        return loss(p) + 0.5 * decay * sum(jnp.sum(leaf**2) for leaf in p.values())

    inside = transformation(RK4, before=optax.add_decayed_weights(decay))
    agree(walk(inside, steps=20, value_fn=loss), walk(transformation(RK4), steps=20, fn=heavier, value_fn=heavier))
    one = transformation(tw.momentum(None, 0.05, 0.9), before=optax.chain(CLIP, optax.trace(0.5)))
    agree(walk(one, steps=20), walk(optax.chain(CLIP, optax.trace(0.5), optax.sgd(0.05, 0.9)), steps=20))


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
def test_rounding_is_no_change(dtype):
    """Down to where nothing but rounding is left of the gradient; taken here in one program and there in another."""
    x, optimizer = jnp.array([1.0, -3.0, 2.0], dtype), transformation(RK4)
    hessian = jnp.array([[2.0, 0.3, 0.0], [0.3, 9.0, 1.0], [0.0, 1.0, 20.0]], dtype)

    def bowl(x):
        return 0.5 * (x - 0.7) @ hessian @ (x - 0.7)

    def otherwise(x):
        return 0.5 * x @ hessian @ x - 0.7 * jnp.sum(hessian @ x)

    gradient = jax.jit(jax.grad(otherwise))
    update = jax.jit(lambda g, state, x: optimizer.update(g, state, x, value_fn=bowl))
    state = optimizer.init(x)
    for _ in range(240):
        updates, state = update(gradient(x), state, x)
        x = optax.apply_updates(x, updates)
    np.testing.assert_allclose(x.astype(float), 0.7, rtol=0, atol=40 * float(jnp.finfo(dtype).eps))


def test_a_schedule_is_pointed_to_its_drop_in(unchecked):
    schedule = optax.cosine_decay_schedule(0.1, 40)
    for make in (tw.momentum, tw.nesterov):
        with pytest.raises(tw.InputError, match=r"in optax, .* optax\.inject_hyperparams") as caught:
            make(None, schedule, 0.9)
        code = "optax.inject_hyperparams(" + str(caught.value).split("optax.inject_hyperparams(")[1].split(", or ")[0]
        ours = eval(code, {"optax": optax, "tw": tw, "schedule": schedule})
        agree(walk(ours, steps=40), walk(optax.sgd(schedule, 0.9, nesterov=make is tw.nesterov), steps=40))


def test_wrong_use_is_one_line(unchecked):
    with pytest.raises(tw.InputError, match=r"before must be an optax transformation, such as optax.clip\(1.0\), but"):
        transformation(RK4, before=0.5)
    with pytest.raises(tw.InputError, match='needs a gradient before its first step, which optax has not; use start="'):
        transformation(tw.leapfrog(None, 0.1, 0.9))
    several = transformation(tw.Method(tw.GradientFlow(None), tw.RK4(), 0.1))
    state = several.init(START)
    for arguments in ({}, {"params": START}, {"value_fn": loss}):
        with pytest.raises(tw.InputError, match="takes 4 gradients a step; call update"):
            several.update(START, state, **arguments)
