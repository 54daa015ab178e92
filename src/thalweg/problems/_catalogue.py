"""The names: what each is built by. Imports nothing, so that listing them is quick."""

from typing import Any

# name: (home, constructor, its arguments)
CATALOGUE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "quadratic": ("_quadratic", "quadratic", {}),
    "quadratic-2d": ("_quadratic", "quadratic", {"condition_number": 20.0, "dimension": 2}),
    "quadratic-1e4": ("_quadratic", "quadratic", {"condition_number": 1e4}),
    "quadratic-1e6": ("_quadratic", "quadratic", {"condition_number": 1e6}),
    "lopsided": ("_lopsided", "lopsided", {}),
    "rosenbrock": ("_rosenbrock", "rosenbrock", {}),
    "beale": ("_beale", "beale", {}),
    "himmelblau": ("_himmelblau", "himmelblau", {}),
    "double-well": ("_double_well", "double_well", {}),
    "saddle": ("_saddle", "saddle", {}),
    "canyon": ("_canyon", "canyon", {}),
    "breast-cancer": ("_logistic", "logistic_breast_cancer", {}),
    "digits": ("_logistic", "logistic_digits", {}),
    "digits-network": ("_network", "network_digits", {}),
    "gaussian": ("_gaussian", "gaussian", {}),
    "gaussian-1e4": ("_gaussian", "gaussian", {"condition_number": 1e4}),
    "banana": ("_banana", "banana", {}),
    "funnel": ("_funnel", "funnel", {}),
    "gaussian-mixture": ("_gaussian_mixture", "gaussian_mixture", {}),
    "eight-schools": ("_eight_schools", "eight_schools", {}),
    "logistic-posterior": ("_logistic_posterior", "logistic_posterior", {}),
}


def names() -> tuple[str, ...]:
    """The names `get` knows; nothing is loaded.

    >>> import thalweg as tw
    >>> tw.problems.names()[:3]
    ('quadratic', 'quadratic-2d', 'quadratic-1e4')
    """
    return tuple(CATALOGUE)
