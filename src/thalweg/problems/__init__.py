"""Objectives with known facts: a start, a minimum, the curvature's bounds; for targets of samplers, their moments."""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from ._banana import banana as banana
    from ._beale import beale as beale
    from ._canyon import canyon as canyon
    from ._catalogue import names as names
    from ._diffusion import DiffusionProblem as DiffusionProblem
    from ._diffusion import diffusion as diffusion
    from ._diffusion import diffusion_names as diffusion_names
    from ._double_well import double_well as double_well
    from ._eight_schools import eight_schools as eight_schools
    from ._eight_schools import eight_schools_centred as eight_schools_centred
    from ._funnel import funnel as funnel
    from ._gaussian import gaussian as gaussian
    from ._gaussian_mixture import gaussian_mixture as gaussian_mixture
    from ._get import get as get
    from ._himmelblau import himmelblau as himmelblau
    from ._logistic import logistic_breast_cancer as logistic_breast_cancer
    from ._logistic import logistic_digits as logistic_digits
    from ._logistic_posterior import logistic_posterior as logistic_posterior
    from ._lopsided import lopsided as lopsided
    from ._moments import Moments as Moments
    from ._network import network_digits as network_digits
    from ._problem import Problem as Problem
    from ._quadratic import quadratic as quadratic
    from ._rosenbrock import rosenbrock as rosenbrock
    from ._saddle import saddle as saddle

__getattr__, __dir__, __all__ = attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
