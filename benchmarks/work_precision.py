"""How many gradients does following gradient flow to an error take, beside Euler's method or RK4?

Only the errors of descent are within Euler's reach; the stabilised method is measured where the flow is stiff.
"""

from collections.abc import Iterator

import thalweg as tw
from benchmarks._harness import Result


def results() -> Iterator[Result]:
    mild = _measured(100.0, 20.0, {"Euler": tw.Euler(), "RK4": tw.RK4(), "Tsit5": tw.Tsit5()})
    yield _ratio("RK4 beside Euler, error 2e-2", mild, "RK4", "Euler", 2e-2, 2.5)
    yield _ratio("RK4 beside Euler, error 1e-4", mild, "RK4", "Euler", 1e-4, 0.1)
    yield _ratio("Tsit5 beside RK4, error 1e-9", mild, "Tsit5", "RK4", 1e-9, 0.6)
    stiff = _measured(1e4, 5e3, {"RK4": tw.RK4(), "RKC": tw.RungeKuttaChebyshev(2, 10)})
    yield _ratio("RKC beside RK4, stiff, error 1e-3", stiff, "RKC", "RK4", 1e-3, 0.3)


def _measured(condition: float, until: float, schemes: dict) -> tw.WorkPrecision:
    problem = tw.problems.quadratic(condition_number=condition, dimension=30)
    flow = tw.GradientFlow(problem.objective)
    methods = {name: tw.Method(flow, scheme, 0.1) for name, scheme in schemes.items()}
    return tw.work_precision(methods, problem.start, until, repeats=1)


def _ratio(case: str, found: tw.WorkPrecision, ours: str, peer: str, error: float, bound: float) -> Result:
    costs = [found.cost(name, error) for name in (ours, peer)]
    if None in costs:
        raise AssertionError(f"{case}: the ladder ends before that error")
    return Result(case, *costs, bound, 1, error, "gradients")  # pyright: ignore[reportArgumentType]
