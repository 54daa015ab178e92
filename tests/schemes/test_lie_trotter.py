"""Adam and its family beside the frameworks that have them, and against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import monitoring

import thalweg as tw
from thalweg.analysis import convergence_order, largest_stable_learning_rate
from thalweg.schemes import Draws

SETTINGS, STEPS = 100, 40
WEIGHTS = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.2], [0.1, -0.2, 0.4]])
# Far from level, where a rounding of the gradient would be as large as it, and bent, so that it changes all the way.
START = np.array([7.0, -9.0, 1.5])
SLOPE = np.array([3.0, -2.0, 1.5])


def bent(x):
    return 0.05 * x @ jnp.asarray(WEIGHTS, x.dtype) @ x + jnp.asarray(SLOPE, x.dtype) @ x + jnp.sum(jnp.cos(x))


def settings(seed=0):
    """Learning rate, both betas, epsilon from 1e-16 to 0.1, and a weight decay that is off in a third of them."""
    draw = np.random.default_rng(seed)
    return np.stack([
        10.0 ** draw.uniform(-3.0, -1.0, SETTINGS),
        draw.choice([0.0, 0.5, 0.9, 0.95], SETTINGS),
        draw.choice([0.5, 0.9, 0.99, 0.999], SETTINGS),
        10.0 ** draw.uniform(-16.0, -1.0, SETTINGS),
        draw.choice([0.0, 0.01, 0.3], SETTINGS),
    ], axis=1)  # fmt: skip


def paths(make):
    """Positions of ours at all settings, in one program."""

    def one(setting):
        method = make(*setting)
        first = method.init(jnp.asarray(START))

        def step(state, _):
            after = method.step(state)
            return after, after.position

        return jax.lax.scan(step, first, length=STEPS)[1]

    return np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(settings())))


def paths_of_optax(make):
    def one(setting):
        optimizer = make(*setting)
        x = jnp.asarray(START)

        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(jax.grad(bent)(x), state, x)
            x = optax.apply_updates(x, updates)
            return (x, state), x

        return jax.lax.scan(step, (x, optimizer.init(x)), length=STEPS)[1]

    return np.asarray(jax.jit(jax.vmap(one))(jnp.asarray(settings())))


def paths_of_torch(make):
    """The same, each setting a loop of its own; numbers of the state in float64 as the parameters."""
    import torch

    weights, slope, found = torch.tensor(WEIGHTS), torch.tensor(SLOPE), []
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        for setting in settings():
            x = torch.tensor(START, requires_grad=True)
            optimizer, path = make([x], *map(float, setting)), []
            for _ in range(STEPS):
                optimizer.zero_grad()
                (0.05 * x @ weights @ x + slope @ x + torch.sum(torch.cos(x))).backward()
                optimizer.step()
                path.append(x.detach().numpy().copy())
            found.append(path)
    finally:
        torch.set_default_dtype(before)
    return np.array(found)


OPTAX = {
    "adam": (lambda a, b, c, e, w: tw.adam(bent, a, b, c, e), lambda a, b, c, e, w: optax.adam(a, b, c, e)),
    "adamw": (
        lambda a, b, c, e, w: tw.adamw(bent, a, b, c, e, w),
        lambda a, b, c, e, w: optax.adamw(a, b, c, e, weight_decay=w),
    ),
    "nadam": (
        lambda a, b, c, e, w: tw.nadam(bent, a, b + 0.01, c, e),
        lambda a, b, c, e, w: optax.nadam(a, b + 0.01, c, e),
    ),
    "rmsprop": (lambda a, b, c, e, w: tw.rmsprop(bent, a, c, e), lambda a, b, c, e, w: optax.rmsprop(a, c, e)),
    "lion": (
        lambda a, b, c, e, w: tw.lion(bent, a, b, c, w),
        lambda a, b, c, e, w: optax.lion(a, b, c, weight_decay=w),
    ),
    "sign": (lambda a, b, c, e, w: signs(a), lambda a, b, c, e, w: optax.sign_sgd(a)),
}


def signs(learning_rate):
    flow = tw.AdamFlow(bent, first=None, second=None, form="sign")
    return tw.Method(flow, tw.LieTrotter(), learning_rate)


@pytest.mark.parametrize("name", OPTAX)
def test_the_path_is_that_of_optax(name):
    ours, theirs = OPTAX[name]
    np.testing.assert_allclose(paths(ours), paths_of_optax(theirs), rtol=0, atol=1e-12)


def memory_time(beta, step):
    return -step / jnp.log(beta)


def coupled(a, b, c, e, w):
    flow = tw.AdamFlow(bent, 1.0, memory_time(b, a), memory_time(c, a), e, decay=w, coupled=True)
    return tw.Method(flow, tw.LieTrotter(), a)


def outside(a, b, c, e, w):
    flow = tw.AdamFlow(bent, first=None, second=memory_time(c, a), epsilon=e, corrected=False)
    return tw.Method(flow, tw.LieTrotter(), a)


@pytest.mark.parametrize("name", ["Adam", "Adam with decay", "AdamW", "NAdam", "RMSprop"])
def test_the_path_is_that_of_torch(name):
    torch = pytest.importorskip("torch")
    ours, theirs = {
        "Adam": (OPTAX["adam"][0], lambda p, a, b, c, e, w: torch.optim.Adam(p, a, (b, c), e)),
        "Adam with decay": (coupled, lambda p, a, b, c, e, w: torch.optim.Adam(p, a, (b, c), e, weight_decay=w)),
        "AdamW": (OPTAX["adamw"][0], lambda p, a, b, c, e, w: torch.optim.AdamW(p, a, (b, c), e, weight_decay=w)),
        "NAdam": (
            lambda a, b, c, e, w: tw.nadam(bent, a, b + 0.01, c, e, momentum_decay=0.004),
            lambda p, a, b, c, e, w: torch.optim.NAdam(p, a, (b + 0.01, c), e, momentum_decay=0.004),
        ),
        "RMSprop": (outside, lambda p, a, b, c, e, w: torch.optim.RMSprop(p, a, c, e)),
    }[name]
    np.testing.assert_allclose(paths(ours), paths_of_torch(theirs), rtol=0, atol=1e-12)


def test_a_schedule_leaves_the_betas():
    warmed = optax.warmup_cosine_decay_schedule(0.01, 0.2, 5, STEPS)

    def schedule(step):
        # Of a 32-bit count optax makes a number in float32.
        return warmed(jnp.asarray(step, float))

    theirs, x = optax.adamw(schedule, weight_decay=0.1), jnp.asarray(START)
    state = theirs.init(x)
    for _ in range(STEPS):
        updates, state = theirs.update(jax.grad(bent)(x), state, x)
        x = optax.apply_updates(x, updates)
    method = tw.adamw(bent, schedule, weight_decay=0.1)
    np.testing.assert_allclose(tw.run(method, jnp.asarray(START), STEPS).final.position, x, rtol=1e-13)
    # And a number takes its place, at the same betas.
    fixed = method.with_learning_rate(0.05)
    assert fixed.hyperparameters == pytest.approx(tw.adamw(bent, 0.05, weight_decay=0.1).hyperparameters, rel=1e-12)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.8, 0.95)], ids=["another rate", "other betas too"])
def test_another_learning_rate_in_mid_run_takes_the_state_over(betas):
    """As the frameworks do: both averages and the steps that they count stay."""
    first, then = tw.adam(bent, 0.1), tw.adam(bent, 0.02, *betas)
    state = first.init(jnp.asarray(START))
    m, v, filled, x = np.zeros(3), np.zeros(3), np.zeros(2), START.copy()
    for k in range(30):
        a, (b, c) = (0.1, (0.9, 0.999)) if k < 10 else (0.02, betas)
        state = (first if k < 10 else then).step(state, Draws())
        g = np.asarray(jax.grad(bent)(jnp.asarray(x)))
        m, v = b * m + (1 - b) * g, c * v + (1 - c) * g * g
        filled = np.array([b, c]) * filled + 1 - np.array([b, c])
        x = x - a * (m / filled[0]) / (np.sqrt(v / filled[1]) + 1e-8)
    np.testing.assert_allclose(state.position, x, rtol=1e-11)
    if betas == (0.9, 0.999):
        # What has come into an average is then what torch and optax correct by.
        np.testing.assert_allclose(filled, 1 - np.array(betas) ** 30, rtol=1e-13)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    method, x0 = tw.nadam(bent, 0.1, momentum_decay=0.004), jnp.asarray(START)
    whole = tw.run(method, x0, 40)
    tw.run(method, x0, 15, out=tmp_path / "run")
    resumed = tw.run(method, x0, 40, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.final.position, whole.final.position)


def test_a_constant_gradient_moves_each_entry_by_the_learning_rate():
    slope = jnp.array([3.0, -0.02, 500.0])
    method = tw.adam(lambda x: slope @ x, 0.125, epsilon=0.0)
    run = tw.run(method, jnp.zeros(3), 64)
    np.testing.assert_allclose(run.final.position, -8.0 * np.sign(slope), rtol=1e-12)


def test_an_uncorrected_mean_of_squares_starts_too_fast():
    r"""$\theta = -2\tau\,\mathrm{artanh}\sqrt{1 - e^{-t/\tau}}$ for a constant gradient, from an empty memory."""
    tau, horizon = 1.5, 2.0
    exact = -2.0 * tau * np.arctanh(np.sqrt(-np.expm1(-horizon / tau)))
    flow = tw.AdamFlow(lambda x: 3.0 * x[0], first=None, second=tau, epsilon=0.0, corrected=False)

    def error(count):
        method = tw.Method(flow, tw.LieTrotter(), horizon / count)
        return float(tw.run(method, jnp.zeros(1), count, record=None).final.position[0]) - exact

    # The velocity is that of 1/sqrt(t) at the start, so that a first-order step is of order one half there.
    assert np.log2(error(512) / error(1024)) == pytest.approx(0.5, abs=0.03)


def test_rmsprop_ends_in_a_cycle_of_half_the_learning_rate():
    """On a quadratic the squares are then those of the cycle, and a step is the learning rate at any curvature."""
    run = tw.run(tw.rmsprop(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 40.0]) * x**2), 0.01, 0.9, 0.0), jnp.ones(2), 4000)
    np.testing.assert_allclose(np.abs(run.final.position), 0.005, rtol=1e-9)


def test_sign_descent_ends_in_a_cycle_of_the_learning_rate():
    run = tw.run(signs_on_a_bowl(0.25), jnp.array([1.1]), 41, record=1)
    np.testing.assert_allclose(np.asarray(run.trace.position)[-4:, 0], [0.1, -0.15, 0.1, -0.15], atol=1e-12)


def signs_on_a_bowl(learning_rate):
    flow = tw.AdamFlow(lambda x: 0.5 * jnp.sum(x**2), first=None, second=None, form="sign")
    return tw.Method(flow, tw.LieTrotter(), learning_rate)


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_the_limit_is_that_of_an_average_on_the_preconditioned_curvature(beta1):
    """2 (1 + beta_1) / (1 - beta_1): 38 over the learning rate at 0.9, and not 2."""
    limit = largest_stable_learning_rate(tw.adam(None, 0.1, beta1), 4.0)
    assert limit == pytest.approx(2.0 * (1.0 + beta1) / (1.0 - beta1) / 4.0, rel=1e-9)
    assert largest_stable_learning_rate(tw.rmsprop(None, 0.1), 4.0) == pytest.approx(0.5, rel=1e-9)


def test_sign_methods_have_no_limit_that_a_curvature_tells():
    with pytest.raises(tw.InputError, match="not linear on a quadratic"):
        largest_stable_learning_rate(tw.lion(None, 0.1), 1.0)


PROBLEM = tw.problems.lopsided()


@pytest.mark.parametrize(("scheme", "order"), [(tw.Heun(), 2.0), (tw.RK4(), 4.0)], ids=["Heun", "RK4"])
def test_runge_kutta_has_its_order_where_the_flow_is_smooth(scheme, order):
    flow = tw.AdamFlow(PROBLEM.objective, first=None, second=2.0, epsilon=0.1, corrected=False, form="inside")
    assert convergence_order(tw.Method(flow, scheme, 0.1), PROBLEM.start).order == pytest.approx(order, abs=0.1)


def test_the_singular_start_of_the_correction_costs_runge_kutta_an_order():
    """The averages over what has come into them are 0/0 there, with a limit that no stage sees to fourth order."""
    flow = tw.AdamFlow(PROBLEM.objective, first=0.5, second=2.0, epsilon=0.1)
    assert convergence_order(tw.Method(flow, tw.RK4(), 0.1), PROBLEM.start).order == pytest.approx(3.0, abs=0.1)
    assert convergence_order(tw.Method(flow, tw.LieTrotter(), 0.1), PROBLEM.start).order == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "rmsprop", "lion"])
def test_low_precision_keeps_its_dtype_and_its_averages_are_wider(name):
    with jax.enable_x64(False):
        method = getattr(tw, name)(lambda x: jnp.sum(x["w"].astype(jnp.float32) ** 2), 0.01)
        state = method.init({"w": jnp.ones(4, jnp.bfloat16)})
        for _ in range(3):
            state = method.step(state)
        assert state.position["w"].dtype == jnp.bfloat16
        averages = [
            leaf for key in ("mean", "square") if key in state.auxiliary for leaf in state.auxiliary[key].values()
        ]
        assert averages and all(leaf.dtype == jnp.float32 for leaf in averages)


def test_as_jax_comes_a_path_is_as_near_the_exact_one_as_that_of_optax():
    exact = np.asarray(tw.run(tw.adam(bent, 0.05), jnp.asarray(START), 200).final.position)
    with jax.enable_x64(False):
        x0 = jnp.asarray(START, jnp.float32)
        run = tw.run(tw.adam(bent, 0.05), x0, 200)
        optimizer, x = optax.adam(0.05), x0
        state = optimizer.init(x)
        update = jax.jit(optimizer.update)
        for _ in range(200):
            updates, state = update(jax.grad(bent)(x), state, x)
            x = optax.apply_updates(x, updates)
        assert run.final.position.dtype == jnp.float32
        ours, theirs = (np.linalg.norm(np.asarray(end, float) - exact) for end in (run.final.position, x))
    assert ours < 2.0 * theirs < 1e-3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tw.adam(bent, 0.1, beta1=1.0), "beta1 must be less than 1"),
        (lambda: tw.adam(bent, 0.1, beta2=-0.1), "beta2 must be at least 0"),
        (lambda: tw.adam(bent, 0.1, epsilon=-1e-8), "epsilon must be at least 0"),
        (lambda: tw.adamw(bent, 0.1, weight_decay=-1.0), "weight_decay must be at least 0"),
        (lambda: tw.lion(bent, 0.1, beta2=0.0), "beta2 must be greater than 0"),
        (lambda: tw.nadam(bent, 0.1, beta1=0.0), "give the law a memory time"),
        (lambda: tw.AdamFlow(bent, first=0.0), "first, a memory time, must be greater than 0"),
        (lambda: tw.AdamFlow(bent, form="sign"), "give second=None"),
        (lambda: tw.AdamFlow(bent, form="signs"), "form 'signs' is unknown; did you mean 'sign'"),
        (lambda: tw.LieTrotter(momentum_decay=0.1), "give nesterov=True with it"),
        (lambda: tw.Method(tw.GradientFlow(bent), tw.LieTrotter(), 0.1), "has no separate memory"),
        (lambda: tw.Method(tw.AdamFlow(bent), tw.Leapfrog(), 0.1), "has no separate force"),
        (
            lambda: tw.Method(tw.AdamFlow(bent, corrected=False), tw.LieTrotter(True, 0.1), 0.1),
            "momentum_decay is for tw.AdamFlow with corrected=True",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_line(make, says):
    with pytest.raises(tw.InputError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_sweep_of_rates_and_betas_compiles_once_and_is_the_loop():
    def make(learning_rate, beta1):
        return tw.adam(bent, learning_rate, beta1)

    grid = {"learning_rate": [0.01, 0.1], "beta1": [0.0, 0.5, 0.9]}
    found = tw.sweep(make, grid, jnp.asarray(START), 25)
    expected = [
        [tw.run(make(a, b), jnp.asarray(START), 25).metrics["loss"][-1] for b in grid["beta1"]]
        for a in grid["learning_rate"]
    ]
    np.testing.assert_allclose(found.losses[:, 0, -1].reshape(2, 3), expected, rtol=1e-12)
    compiled = []

    def heard(name, seconds, **about):
        if name.endswith("backend_compile_duration"):
            compiled.append(about.get("fun_name"))

    monitoring.register_event_duration_secs_listener(heard)
    try:
        tw.sweep(make, {"learning_rate": [0.02, 0.05], "beta1": [0.1, 0.6, 0.8]}, jnp.asarray(START), 25)
    finally:
        monitoring.unregister_event_duration_listener(heard)
    assert compiled == []
