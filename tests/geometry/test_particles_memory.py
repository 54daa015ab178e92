"""Memory of particles that all act on one another."""

import subprocess
import sys

import pytest

PROGRAM = """
from pathlib import Path

import jax, jax.numpy as jnp
import thalweg as tw

points = jax.random.normal(jax.random.key(0), (20_000, 10))
functional = tw.measures.KL(lambda x: 0.5 * jnp.sum((x - 1.0) ** 2))
law = tw.GradientFlow(functional, geometry=tw.geometry.Stein(tw.measures.GaussianKernel(2.0)))
end = tw.run(tw.Method(law, tw.Euler(), 1.0), tw.measures.Particles(points), 2, progress=False).final.position
assert float(jnp.mean(end.mean)) > 0.0
# That of this process alone: what getrusage says is at least that of the one it was forked from.
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 2**20)
"""


@pytest.mark.slow
def test_twenty_thousand_particles_in_ten_dimensions_fit_into_two_gibibytes():
    # All pairs at once would take 1.5 GiB for one number of each in single precision, and 15 for their differences.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) <= 2.0
