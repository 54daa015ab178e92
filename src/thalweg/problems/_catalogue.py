"""The names: what each is built by. Imports nothing, so that listing them is quick."""

from typing import Any

# name: (constructor, its arguments)
CATALOGUE: dict[str, tuple[str, dict[str, Any]]] = {
    "quadratic": ("quadratic", {}),
    "quadratic-2d": ("quadratic", {"condition_number": 20.0, "dimension": 2}),
    "quadratic-1e4": ("quadratic", {"condition_number": 1e4}),
    "quadratic-1e6": ("quadratic", {"condition_number": 1e6}),
    "lopsided": ("lopsided", {}),
    "rosenbrock": ("rosenbrock", {}),
    "beale": ("beale", {}),
    "himmelblau": ("himmelblau", {}),
    "double-well": ("double_well", {}),
    "saddle": ("saddle", {}),
    "canyon": ("canyon", {}),
    "breast-cancer": ("logistic_breast_cancer", {}),
    "digits": ("logistic_digits", {}),
    "digits-network": ("network_digits", {}),
    "gaussian": ("gaussian", {}),
    "gaussian-1e4": ("gaussian", {"condition_number": 1e4}),
    "banana": ("banana", {}),
    "funnel": ("funnel", {}),
    "gaussian-mixture": ("gaussian_mixture", {}),
    "eight-schools": ("eight_schools", {}),
    "eight-schools-centred": ("eight_schools_centred", {}),
    "logistic-posterior": ("logistic_posterior", {}),
}


def names() -> tuple[str, ...]:
    """The names `get` knows; nothing is loaded.

    >>> import thalweg as tw
    >>> tw.problems.names()[:3]
    ('quadratic', 'quadratic-2d', 'quadratic-1e4')
    """
    return tuple(CATALOGUE)
