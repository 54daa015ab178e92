"""Nonlinear regressions of NIST with certified values: models, both starts, data.

The files are those of the Statistical Reference Datasets (NIST StRD), which are in the public domain.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np

Model = Callable


@dataclasses.dataclass(frozen=True)
class Regression:
    """A model, its data, two starts, and the certified values.

    Attributes:
        model: `model(b, x)`, the prediction.
        x, y: arrays (m,).
        starts: two arrays (n,), the first far from the end.
        parameters, errors: certified parameters and their standard deviations, arrays (n,).
        sum_of_squares, deviation: certified, of the residuals.
    """

    name: str
    model: Model
    x: np.ndarray
    y: np.ndarray
    starts: tuple[np.ndarray, np.ndarray]
    parameters: np.ndarray
    errors: np.ndarray
    sum_of_squares: float
    deviation: float

    def residuals(self, b, data):
        """Model minus data, `data` being (x, y)."""
        return self.model(b, data[0]) - data[1]


def _decays(b, x):
    return b[0] * jnp.exp(-b[1] * x) + b[2] * jnp.exp(-b[3] * x) + b[4] * jnp.exp(-b[5] * x)


def _peaks(b, x):
    first, second = b[2] * jnp.exp(-(((x - b[3]) / b[4]) ** 2)), b[5] * jnp.exp(-(((x - b[6]) / b[7]) ** 2))
    return b[0] * jnp.exp(-b[1] * x) + first + second


MODELS: dict[str, Model] = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1.0 / b[2]),
    "Chwirut2": lambda b, x: jnp.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "Eckerle4": lambda b, x: b[0] / b[1] * jnp.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": _peaks,
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1.0 + b[3] * x + b[4] * x**2),
    "Lanczos3": _decays,
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH17": lambda b, x: b[0] + b[1] * jnp.exp(-x * b[3]) + b[2] * jnp.exp(-x * b[4]),
    "Misra1a": lambda b, x: b[0] * (1.0 - jnp.exp(-b[1] * x)),
    "Rat42": lambda b, x: b[0] / (1.0 + jnp.exp(b[1] - b[2] * x)),
    "Roszman1": lambda b, x: b[0] - b[1] * x - jnp.arctan(b[2] / (x - b[3])) / jnp.pi,
}


def regression(name: str) -> Regression:
    """One of `MODELS` with what its file says."""
    lines = (Path(__file__).parent / f"{name}.dat").read_text().splitlines()
    text = "\n".join(lines)
    first, last = re.search(r"^\s+Data\s+\(lines\s+(\d+)\s+to\s+(\d+)\)", text, re.MULTILINE).groups()
    data = np.array([[float(word) for word in line.split()] for line in lines[int(first) - 1 : int(last)]])
    rows = re.findall(r"^\s*b\d+ =(.*)$", text, re.MULTILINE)
    one, other, parameters, errors = np.array([[float(word) for word in row.split()] for row in rows]).T
    total, deviation = (
        float(re.search(rf"{what}:\s+(\S+)", text).group(1))
        for what in ("Residual Sum of Squares", "Residual Standard Deviation")
    )
    return Regression(
        name, MODELS[name], data[:, 1], data[:, 0], (one, other), parameters, errors, total, deviation
    )  # fmt: skip
