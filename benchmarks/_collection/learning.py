"""Fits of models to data: logistic and robust regression, factors of a matrix, small networks, a Gaussian process."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from ._problem import Shelf

PROBLEMS = Shelf("data")
smooth = PROBLEMS.smooth
_RNG = np.random.default_rng(1981)


def _standard(load):
    features, target = load(return_X_y=True)
    features = StandardScaler().fit_transform(features)
    return np.c_[features, np.ones(len(features))], target


_CANCER, _BENIGN = _standard(datasets.load_breast_cancer)
_SIGNED = (2.0 * _BENIGN - 1.0)[:, None] * _CANCER
_DIGITS, _LABELS = _standard(datasets.load_digits)
_ONE_HOT = np.eye(10)[_LABELS]
_DIABETES, _PROGRESS = _standard(datasets.load_diabetes)
_WINE, _CULTIVARS = _standard(datasets.load_wine)


def _logistic(penalty):
    return lambda w: jnp.mean(jax.nn.softplus(-(_SIGNED @ w))) + 0.5 * penalty * w @ w


def _softmax(features, one_hot, penalty):
    def fn(w):
        scores = features @ w.reshape(features.shape[1], -1)
        loss = jax.nn.logsumexp(scores, axis=1) - jnp.sum(one_hot * scores, axis=1)
        return jnp.mean(loss) + 0.5 * penalty * w @ w

    return fn


for _penalty in (1e-2, 1e-4, 0.0):
    smooth(f"breast_cancer_{_penalty:g}", np.zeros(31))(_logistic(_penalty))
    smooth(f"digits_{_penalty:g}", np.zeros(650))(_softmax(_DIGITS, _ONE_HOT, _penalty))
smooth("wine_0.0001", np.zeros(42))(_softmax(_WINE, np.eye(3)[_CULTIVARS], 1e-4))


@smooth("cauchy_regression", np.zeros(11))
def _(w):
    return jnp.sum(jnp.log1p(((_DIABETES @ w - _PROGRESS) / 20.0) ** 2))


@smooth("poisson_regression", np.zeros(11))
def _(w):
    scores = _DIABETES @ w
    return jnp.mean(jnp.exp(scores) - _PROGRESS * scores)


_X = np.linspace(-2.0, 2.0, 40)
_Y = np.sin(3.0 * _X)


def _network(activation):
    def fn(x):
        weights, biases, out = x[:-1].reshape(3, 10)
        hidden = activation(_X[:, None] * weights[None] + biases[None])
        return jnp.mean((hidden @ out + x[-1] - _Y) ** 2)

    return fn


smooth("network_tanh", 0.5 * _RNG.normal(size=31))(_network(jnp.tanh))
smooth("network_softplus", 0.5 * _RNG.normal(size=31))(_network(jax.nn.softplus))

_FACTORS = _RNG.normal(size=(20, 3)) @ _RNG.normal(size=(3, 15))


@smooth("matrix_factors", 1e-3 * _RNG.normal(size=105), 0.0)
def _(x):
    """Starts beside the saddle at 0."""
    return 0.5 * jnp.sum((x[:60].reshape(20, 3) @ x[60:].reshape(3, 15) - _FACTORS) ** 2)


_HIDDEN = _RNG.random((20, 15)) < 0.4


@smooth("matrix_completion", _RNG.normal(size=105))
def _(x):
    off = jnp.where(_HIDDEN, 0.0, x[:60].reshape(20, 3) @ x[60:].reshape(3, 15) - _FACTORS)
    return 0.5 * jnp.sum(off**2) + 1e-3 * x @ x


_MAP = _RNG.normal(size=(5, 5))


@smooth("deep_linear_network", np.tile(0.3 * np.eye(5).ravel(), 4) + 0.05 * _RNG.normal(size=100), 0.0)
def _(x):
    a, b, c, d = x.reshape(4, 5, 5)
    return 0.5 * jnp.sum((a @ b @ c @ d - _MAP) ** 2)


_NOISY = _Y + 0.1 * _RNG.normal(size=40)
_APART = (_X[None] - _X[:, None]) ** 2


@smooth("gaussian_process", np.zeros(3))
def _(x):
    """Minus the log of the evidence, by the logs of the length, of the amplitude and of the noise."""
    length, amplitude, noise = jnp.exp(2.0 * x)
    kernel = amplitude * jnp.exp(-0.5 * _APART / length) + (noise + 1e-8) * jnp.eye(40)
    root = jnp.linalg.cholesky(kernel)
    white = jax.scipy.linalg.solve_triangular(root, _NOISY, lower=True)
    return 0.5 * white @ white + jnp.sum(jnp.log(jnp.diag(root)))


_CORNERS = np.stack(np.meshgrid(*[np.arange(2.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
_PAIRS = np.triu_indices(8, 1)


@smooth("lennard_jones_8", (1.1 * _CORNERS + 0.05 * _RNG.normal(size=(8, 3))).ravel())
def _(x):
    points = x.reshape(8, 3)
    near = 1.0 / jnp.sum((points[_PAIRS[0]] - points[_PAIRS[1]]) ** 2, axis=1) ** 3
    return 4.0 * jnp.sum(near**2 - near)
