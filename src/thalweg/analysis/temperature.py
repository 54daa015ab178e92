"""The temperature of a method, in the diffusion limit and at its own step."""

from typing import Any

import numpy as np

from .._methods.method import Method
from .._methods.stationary import stationary_covariance
from .diffusion_limit import diffusion_limit


def temperature(method: Method, noise_covariance: Any = None, hessian: Any = None) -> Any:
    """The temperature of a method: see `Method.temperature`."""
    if hessian is None:
        return diffusion_limit(method, noise_covariance).temperature
    covariance = stationary_covariance(method, hessian, noise_covariance)
    if isinstance(covariance, float):
        return float(np.asarray(hessian, dtype=float)) * covariance
    values, vectors = np.linalg.eigh(np.asarray(hessian, dtype=float))
    root = (vectors * np.sqrt(values)) @ vectors.T
    found = root @ covariance @ root
    return 0.5 * (found + found.T)
