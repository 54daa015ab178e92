"""Draw the work-precision picture: `python docs/images/make_work_precision.py`."""

import os
from pathlib import Path

os.environ["JAX_ENABLE_X64"] = "1"

import thalweg as tw

HERE = Path(__file__).parent


def main() -> None:
    problem = tw.problems.quadratic(condition_number=100, dimension=10)
    flow = tw.GradientFlow(problem.objective)
    schemes = {
        "Euler": tw.Euler(), "Heun": tw.Heun(), "RK4": tw.RK4(), "Tsit5": tw.Tsit5(),
        "RKC": tw.RungeKuttaChebyshev(2, 10),
    }  # fmt: skip
    methods = {name: tw.Method(flow, scheme, 0.1) for name, scheme in schemes.items()}
    result = tw.work_precision(methods, problem.start, until=20.0, repeats=21)
    figure = result.plot()[0].figure
    figure.savefig(HERE / "work_precision.png", dpi=110)


if __name__ == "__main__":
    main()
