"""thalweg: optimizers, samplers and flows as discretised dynamical systems."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Each public name and its one home; loaded on first use, so that importing thalweg costs nothing.
_HOMES = {
    "_errors": ("InputError",),
    "_objectives.objective": ("FiniteSum", "Objective"),
    "_objectives.stream": ("Stream",),
    "dynamics": (
        "AdaptiveLangevin",
        "BregmanFlow",
        "ColouredLangevin",
        "GeneralizedLangevin",
        "GradientFlow",
        "HeavyBall",
        "HessianDampedFlow",
        "HighResolutionFlow",
        "NesterovFlow",
        "OverdampedLangevin",
        "UnderdampedLangevin",
    ),
    "schemes": (
        "AdaptiveChebyshev",
        "Adaptive",
        "BogackiShampine",
        "ButcherTableau",
        "DormandPrince",
        "Euler",
        "EulerMaruyama",
        "ExponentialEuler",
        "Heun",
        "ImplicitEuler",
        "ImplicitMidpoint",
        "Leapfrog",
        "LeimkuhlerMatthews",
        "Lookahead",
        "MetropolisAdjustedLangevin",
        "Midpoint",
        "PseudoTransient",
        "RK4",
        "Ralston",
        "ReplicaExchange",
        "Restarted",
        "RosenbrockEuler",
        "RungeKutta",
        "RungeKuttaChebyshev",
        "RungeKuttaLegendre",
        "Splitting",
        "StochasticHeun",
        "Tsit5",
    ),
    "_dictionary.conventions": ("Hyperparameters", "Physical"),
    "_methods.method": ("Method",),
    "_methods.aliases": (
        "gradient_descent",
        "leapfrog",
        "mala",
        "midpoint_momentum",
        "momentum",
        "nesterov",
        "sgld",
        "stabilised_descent",
    ),
    "_methods.table": ("table",),
    "_records.run": ("Record", "Run"),
    "_records.recorder": ("Recorder",),
    "_loops.run": ("run",),
    "_loops.minimize": ("minimize",),
    "_loops.sample": ("read_samples", "sample"),
    "_loops.sampling_step": ("SamplingWarning",),
    "_records.sweep": ("Sweep",),
    "_loops.sweep": ("sweep",),
    "_side_by_side.compare": ("Comparison", "compare"),
    "_side_by_side.compare_runs": ("RunComparison", "compare_runs"),
    "_side_by_side.work_precision": ("WorkPrecision", "work_precision"),
    "_dictionary.translate": ("Translation", "translate"),
}
_MODULES = ("adapters", "analysis", "claims", "dynamics", "plot", "problems", "schemes", "testing")
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME, *_MODULES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'thalweg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
