"""How long is the first minute: first calls in fresh processes, imports done, over those of a peer?

A case is one entry of `CASES`: what each side imports, what it calls, and the bound on the median of seven ratios,
taken in turn. Beside the seconds stand the programs that are compiled in it and their lines, which no load of the
machine changes.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks._harness import Result, interval

PAIRS = 7


@dataclasses.dataclass(frozen=True)
class Side:
    """Code of one side, run in a process of its own: `before` is not timed, `call` is."""

    before: str
    call: str


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    ours: Side
    peer: Side
    bound: float


_ROSENBROCK = """
import jax, jax.numpy as jnp
def f(x, args=None): return jnp.sum((1.0 - x[:-1]) ** 2 + 100.0 * (x[1:] - x[:-1] ** 2) ** 2)
x0 = jax.block_until_ready(jnp.zeros(10))
"""

_BOWL = """
import jax, jax.numpy as jnp
def f(x): return 0.5 * jnp.sum(jnp.linspace(1.0, 10.0, 10) * x * x)
x0 = jax.block_until_ready(jnp.ones(10))
"""
_OPTAX = """
import optax
optimizer = optax.sgd(0.01, momentum=0.9)
@jax.jit
def go(x):
    def step(carry, _):
        x, state = carry
        value, gradient = jax.value_and_grad(f)(x)
        updates, state = optimizer.update(gradient, state, x)
        return (optax.apply_updates(x, updates), state), value
    return jax.lax.scan(step, (x, optimizer.init(x)), None, length=1000)
"""

_NORMAL = """
import jax, jax.numpy as jnp
c = jnp.linspace(1.0, 3.0, 9)
def f(x): return 0.5 * jnp.sum(c * x * x)
x0 = jax.block_until_ready(jnp.zeros(9))
"""
_NUTS = """
import blackjax
adaptation = blackjax.window_adaptation(blackjax.nuts, lambda x: -f(x))
def chain(key):
    first, second = jax.random.split(key)
    (state, numbers), _ = adaptation.run(first, x0, num_steps=500)
    kernel = blackjax.nuts(lambda x: -f(x), **numbers).step
    def step(state, key):
        state, _ = kernel(key, state)
        return state, state.position
    return jax.lax.scan(step, state, jax.random.split(second, 1000))[1]
"""

CASES = (
    Case(
        "1,000 steps of momentum, over optax in a jitted scan",
        Side(
            _BOWL + "import thalweg as tw\nimport thalweg._loops.run\ntw.momentum",
            "found = tw.run(tw.momentum(f, 0.01, 0.9), x0, 1000).metrics['loss']",
        ),
        Side(_BOWL + _OPTAX, "found = go(x0)"),
        2.0,
    ),
    Case(
        "a normal law in 9 dimensions, 4 x 1,000 draws, over BlackJAX' NUTS with 500 steps of warm-up",
        Side(
            _NORMAL + "import thalweg as tw\nimport thalweg._loops.sample\ntw.UnderdampedLangevin",
            "tree = tw.sample(tw.UnderdampedLangevin(f, 1.0, 1.0), x0, 1000, 4, key=0, progress=False)\n"
            "found = tree['posterior']['x'].values",
        ),
        Side(_NORMAL + _NUTS, "found = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(0), 4))"),
        0.7,
    ),
    Case(
        "minimize Rosenbrock's function, over optimistix' BFGS",
        Side(
            _ROSENBROCK + "import thalweg as tw\nimport thalweg._loops.run\ntw.minimize, tw.PseudoTransient",
            "found = tw.minimize(f, x0).final.position",
        ),
        Side(
            _ROSENBROCK + "import optimistix",
            "found = optimistix.minimise(f, optimistix.BFGS(rtol=1e-6, atol=1e-6), x0, max_steps=1000).value",
        ),
        3.0,
    ),
)

_TIMED = """
import json, time
import jax.monitoring
from jax._src import compiler
programs = []
compiled = compiler.compile_or_get_cached
def counted(backend, computation, *arguments, **named):
    programs.append(computation.operation.get_asm().count("\\n"))
    return compiled(backend, computation, *arguments, **named)
compiler.compile_or_get_cached = counted
began = time.perf_counter()
{call}
jax.block_until_ready(found)
print(json.dumps([time.perf_counter() - began, len(programs), sum(programs)]))
"""


def results() -> Iterator[Result]:
    for case in CASES:
        pairs = []
        for i in range(PAIRS):
            # Alternate who goes first, so that neither always finds the other's files in the cache.
            order = (case.ours, case.peer) if i % 2 == 0 else (case.peer, case.ours)
            found = {id(side): first_call(side) for side in order}
            pairs.append((found[id(case.ours)], found[id(case.peer)]))
        ours, peer = zip(*pairs, strict=True)
        ratios = [a[0] / b[0] for a, b in pairs]
        seconds = statistics.median(b[0] for b in peer)
        ratio = statistics.median(ratios)
        yield Result(f"{case.name}: time", ratio * seconds, seconds, case.bound, PAIRS, 0.0, interval=interval(ratios))
        for k, unit in ((1, "programs"), (2, "lines of them")):
            # Counted, not bounded: what they cost is the time.
            yield Result(f"{case.name}: {unit}", ours[0][k], peer[0][k], float("inf"), 1, 0.0, unit)


def first_call(side: Side) -> list[float]:
    """Seconds, programs compiled, and lines of those, of a first call in a fresh process, as JAX comes."""
    code = f"{side.before}\n{_TIMED.format(call=side.call)}"
    environment = {**os.environ, "JAX_ENABLE_X64": "0", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])
