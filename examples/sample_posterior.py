"""Sample the posterior of a logistic regression, and set it beside moments that are known.

Run it with `python examples/sample_posterior.py`; it needs `pip install 'thalweg[data,sample]'`.
"""

from typing import Any

import jax
import numpy as np

import thalweg as tw

jax.config.update("jax_enable_x64", True)


def main(draws: int = 20_000) -> tuple[Any, tw.problems.Problem]:
    """The draws, and the problem they are of."""
    problem = tw.problems.get("logistic-posterior")
    # From the mode: the step is chosen by the curvature from the start on, and at zero weights it is largest.
    start = problem.solved().objective.minimiser
    # A temperature of 1 samples exp(-f).
    law = tw.UnderdampedLangevin(problem.objective, friction=2.0, temperature=1.0)
    return tw.sample(law, start, draws, chains=4, warmup=1000, key=0), problem


if __name__ == "__main__":
    tree, problem = main()
    found, moments = tree["diagnostics"], problem.moments
    assert moments is not None
    print(f"{tree.attrs['method']} {tree.attrs['hyperparameters']}, {tree.attrs['gradients']} gradients")
    print(f"{'':12}{'mean':>9}{'exact':>9}{'sd':>9}{'exact':>9}{'ess':>8}{'r_hat':>8}")
    for name in ("bias", "weights"):
        mean, sd, ess, r_hat = (found[name].sel(statistic=s).values for s in ("mean", "sd", "ess_bulk", "r_hat"))
        for i in np.ndindex(np.shape(mean)):
            label = name + "".join(f"[{j}]" for j in i)
            exact = moments.mean[name][i], np.sqrt(moments.variance[name][i])
            print(f"{label:12}{mean[i]:9.3f}{exact[0]:9.3f}{sd[i]:9.3f}{exact[1]:9.3f}{ess[i]:8.0f}{r_hat[i]:8.4f}")
