"""Tableaus of Rosenbrock-Wanner methods: their coefficients, in the form in which a step reads them."""

import dataclasses

import numpy as np

from .._errors import InputError, check_count
from .._typed import check_fields


@dataclasses.dataclass(frozen=True)
class RosenbrockTableau:
    r"""Coefficients of a Rosenbrock-Wanner method, in the form that multiplies no vector with the Jacobian J.

    $$\Bigl(\frac1{\gamma h} - J\Bigr)u_i = F\Bigl(t + \alpha_ih,\; y + \sum_{j<i}a_{ij}u_j\Bigr)
        + \sum_{j<i}\frac{c_{ij}}hu_j + \gamma_ih\,\partial_tF,\qquad y^+ = y + \sum_im_iu_i$$

    with J and $\partial_tF$ those at (t, y).

    Arguments:
        name: how the method is called.
        gamma: $\gamma$, one for all stages.
        a: the strictly lower triangle by rows: `a[i]` has i entries.
        c: likewise.
        m: the weights, one for each stage.
        times: $\alpha_i$, one for each stage.
        slopes: $\gamma_i$, one for each stage.
        order: the order of convergence.
        reference: where the coefficients are from.
        embedded: the weights of a second solution of one order less, by whose distance `tw.Adaptive` sees the error.

    Raises:
        InputError: the shapes do not fit together, the weights are of no method of order 1, or `times` and `slopes` are
            not those that a and c say.

    Reference: Hairer and Wanner (1996), equation IV.7.25.
    """

    name: str
    gamma: float
    a: tuple[tuple[float, ...], ...]
    c: tuple[tuple[float, ...], ...]
    m: tuple[float, ...]
    times: tuple[float, ...]
    slopes: tuple[float, ...]
    order: int
    reference: str = ""
    embedded: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_count("order", self.order)
        stages = len(self.m)
        for name, rows in (("a", self.a), ("c", self.c)):
            if len(rows) != stages or any(len(row) != i for i, row in enumerate(rows)):
                raise InputError(
                    f"tableau {self.name!r}: {name} must have one row a stage and row i must have i entries, "
                    f"but m has {stages} and the rows of {name} have {[len(row) for row in rows]}"
                )
        for name in ("times", "slopes", "embedded"):
            found = getattr(self, name)
            if found is not None and len(found) != stages:
                raise InputError(f"tableau {self.name!r}: {name} must have {stages} entries, but has {len(found)}")
        wrong = f"tableau {self.name!r}: a, c and gamma must be finite, and gamma above 0"
        try:
            alpha, gamma = self.classical
        except np.linalg.LinAlgError:
            raise InputError(wrong) from None
        if not (np.isfinite(alpha).all() and np.isfinite(gamma).all() and self.gamma > 0.0):
            raise InputError(wrong)
        for name, sums in (("times", alpha.sum(axis=1)), ("slopes", gamma.sum(axis=1))):
            if not np.allclose(getattr(self, name), sums, rtol=0, atol=1e-11):
                raise InputError(
                    f"tableau {self.name!r}: {name} must be {np.round(sums, 6).tolist()}, the sums that a and c "
                    f"give, but are {list(getattr(self, name))}"
                )
        for name in ("m", "embedded"):
            weights = getattr(self, name)
            if weights is not None and not np.isclose(total := float(np.sum(weights @ gamma)), 1.0, rtol=0, atol=1e-11):
                raise InputError(
                    f"tableau {self.name!r}: the weights {name} must be of order 1, 1 in sum, not {total:g}"
                )

    @property
    def classical(self) -> tuple[np.ndarray, np.ndarray]:
        r"""$\alpha_{ij}$ and $\gamma_{ij}$ in the form of the order conditions, where weights are $m\Gamma$.

        Reference: Hairer and Wanner (1996), equations IV.7.4 and IV.7.24.
        """
        a, c = square(self.a), square(self.c)
        gamma = np.linalg.inv(np.eye(len(self.m)) / self.gamma - c)
        return a @ gamma, gamma


def square(rows: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """A strictly lower triangle, given by its rows, as a matrix."""
    return np.array([[*row, *[0.0] * (len(rows) - len(row))] for row in rows])


_LAST = (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946)
RODAS5P = RosenbrockTableau(
    "Rodas5P",
    0.21193756319429014,
    (
        (),
        (3.0,),
        (2.849394379747939, 0.45842242204463923),
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        _LAST,
        (*_LAST, 1.0),
        (*_LAST, 1.0, 1.0),
    ),
    (
        (),
        (-14.155112264123755,),
        (-17.97296035885952, -2.859693295451294),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
        (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
        (
            30.91273214028599,
            -3.1208243349937974,
            77.79954646070892,
            34.28646028294783,
            -19.097331116725623,
            -28.087943162872662,
        ),
        (
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ),
    ),
    # Stiffly accurate: the solution is the argument of one stage more, and the embedded one is that of the last.
    (*_LAST, 1.0, 1.0, 1.0),
    (0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0),
    (
        0.21193756319429014,
        -0.42387512638858027,
        -0.3384627126235924,
        1.8046452872882734,
        2.325825639765069,
        0.0,
        0.0,
        0.0,
    ),
    5,
    "steinebach2023",
    (*_LAST, 1.0, 1.0, 0.0),
)
