"""Starts spread over devices go through `tw.solve` where they are: the same numbers, and nothing is gathered."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import jax, jax.numpy as jnp, numpy as np, thalweg as tw
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

assert len(jax.devices()) == 2
apart = NamedSharding(Mesh(np.array(jax.devices()), ("starts",)), P("starts"))
starts = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)))
curvature = jnp.array([1.0, 2.0, 5.0])
f = lambda x: 0.5 * jnp.sum(curvature * x**2) + 0.1 * jnp.sum(x**4)


def cost(method, steps, x, **kwargs):
    found = tw.solve(method, x, steps, **kwargs)
    return jnp.sum(found.final.position ** 2) + jnp.sum(found.saved)


flow = tw.GradientFlow(f)
cases = {
    "direct": lambda x: cost(tw.momentum(f, 0.02, 0.95), 16, x, at=[0, 5, 16]),
    "reversible": lambda x: cost(tw.momentum(f, 0.02, 0.95), 16, x, at=[0, 5, 16], gradient="reversible"),
    "checkpoint": lambda x: cost(tw.Method(flow, tw.RK4(), 0.05), 16, x, times=[0.0, 0.33], gradient="checkpoint"),
    "adaptive": lambda x: cost(
        tw.Method(flow, tw.Adaptive(rtol=1e-6, atol=1e-6, until=0.5), 0.1), 16, x, times=[0.2, 0.5]
    ),
}
for name, one in cases.items():
    program = jax.jit(jax.vmap(jax.value_and_grad(one)))
    spread = jax.device_put(starts, apart)
    found, wanted = program(spread), program(starts)
    text = program.lower(spread).compile().as_text()
    assert found[1].sharding.is_equivalent_to(apart, 2), name
    for a, b in zip(found, wanted):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14, err_msg=name)
    moves = [word for word in ("all-gather", "all-to-all", "permute") if word in text]
    print(name, text.count("num_partitions=2"), *moves)
"""


@pytest.mark.slow
def test_starts_on_two_devices():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False,
        env=dict(os.environ, XLA_FLAGS=flags, JAX_PLATFORMS="cpu", JAX_ENABLE_X64="1", PYTHONPATH=path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[:-1] == [f"{name} 1" for name in ("direct", "reversible", "checkpoint", "adaptive")]
