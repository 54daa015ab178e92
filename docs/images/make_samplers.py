"""Draw samples of a diffusion model on their way: `python docs/images/make_samplers.py`."""

from pathlib import Path

from matplotlib.figure import Figure

import thalweg as tw

HERE = Path(__file__).parent


def main() -> None:
    problem = tw.problems.diffusion("mixture-diffusion")
    times = tw.networks.time_grid(problem.noising, 64, end=problem.end)
    figure = Figure(figsize=(10.0, 3.8), layout="constrained")
    for ax, (name, words) in zip(
        figure.subplots(1, 2, sharey=True), {"ddim": "DDIM", "ancestral": "DDPM"}.items(), strict=True
    ):
        method = tw.networks.sampler(name, problem.noising, problem.data.denoiser(problem.noising), times)
        tw.plot.diffusion(method, problem.data, ax=ax)
        ax.set_title(words, fontsize="medium")
    figure.savefig(HERE / "samplers.png", dpi=110)


if __name__ == "__main__":
    main()
