"""The rows: every method by name. What a row says of its order or stability is computed from its step."""

from collections.abc import Callable, Iterable
from functools import partial

from .._errors import InputError, suggest
from .._typed import typed
from ..dynamics import (
    AbstractDynamics,
    AdaptiveLangevin,
    BregmanFlow,
    ColouredLangevin,
    GeneralizedLangevin,
    GradientFlow,
    HeavyBall,
    HessianDampedFlow,
    HighResolutionFlow,
    NesterovFlow,
    OverdampedLangevin,
    UnderdampedLangevin,
)
from ..schemes import (
    RK4,
    AbstractScheme,
    AdaptiveChebyshev,
    BogackiShampine,
    DormandPrince,
    Euler,
    EulerMaruyama,
    ExponentialEuler,
    Heun,
    ImplicitEuler,
    ImplicitMidpoint,
    Leapfrog,
    LeimkuhlerMatthews,
    Lookahead,
    MetropolisAdjustedLangevin,
    Midpoint,
    PseudoTransient,
    Ralston,
    ReplicaExchange,
    Restarted,
    Rodas5P,
    RosenbrockEuler,
    RungeKuttaChebyshev,
    RungeKuttaLegendre,
    Splitting,
    StochasticHeun,
    Tsit5,
)
from .adaptive import adam, adamw, lion, nadam, rmsprop
from .aliases import (
    first_order,
    gradient_descent,
    leapfrog,
    mala,
    midpoint_momentum,
    mirror_descent,
    momentum,
    nesterov,
    sgld,
    sign_descent,
    stabilised_descent,
)
from .knobs import OWN_NUMBERS, STEP_SIZE
from .method import Method
from .muon import muon
from .row import Row, check_row, origin


# Schemes are made when a row is built: their numbers have the precision that JAX is set to then.
def _motion(law: Callable[..., AbstractDynamics], scheme: Callable[[], AbstractScheme]) -> Callable[..., Method]:
    return lambda objective, **numbers: Method(*STEP_SIZE.write(numbers, partial(law, objective), scheme()))


def _descent(scheme: Callable[[], AbstractScheme]) -> Callable[..., Method]:
    return first_order(GradientFlow, scheme)


def _diffusion(scheme: Callable[[], AbstractScheme]) -> Callable[..., Method]:
    return first_order(OverdampedLangevin, scheme)


def _controlled(scheme: Callable[[], AbstractScheme]) -> Callable[..., Method]:
    return lambda objective, **numbers: Method(*OWN_NUMBERS.write(numbers, partial(GradientFlow, objective), scheme()))


_remembering = partial(GeneralizedLangevin, memory_times=(1.0,), memory_frictions=(1.0,))

_RATE = {"learning_rate": 0.1}
_PAIR = {"learning_rate": 0.1, "momentum": 0.9}
_ADAM = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
_MUON = {"learning_rate": 0.01, "beta": 0.95, "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999}
_ENDING = {"tolerance": 1e-6, "max_gradients": 10_000, "relative": 0.0}
_BALL = {"step_size": 0.1, "friction": 1.0}
_NESTEROV = {"step_size": 0.1, "damping": 3.0}
_BREGMAN = {"step_size": 0.1, "p": 2.0, "strength": 0.25}
_HESSIAN = {"step_size": 0.1, "curvature_damping": 0.1, "damping": 3.0}
_HIGH = {"step_size": 0.1, "step": 0.01}
_HIGH_STRONG = {"step_size": 0.1, "step": 0.01, "strong_convexity": 1.0}

_HEAT = {"learning_rate": 0.1, "temperature": 1.0}
_COLOURED = {"step_size": 0.1, "temperature": 1.0, "correlation_time": 1.0}
_THERMOSTAT = {"step_size": 0.1, "temperature": 1.0, "friction": 1.0, "thermal_mass": 1.0}
_BATH = {"step_size": 0.1, "friction": 1.0, "temperature": 1.0}

_ROWS = (
    Row("gradient_descent", gradient_descent, _RATE, "cauchy1847", ("gd", "euler")),
    Row("midpoint", _descent(Midpoint), _RATE, "runge1895"),
    Row("heun", _descent(Heun), _RATE, "heun1900"),
    Row("ralston", _descent(Ralston), _RATE, "ralston1962"),
    Row("rk4", _descent(RK4), _RATE, "kutta1901", ("runge_kutta",)),
    Row("tsit5", _descent(Tsit5), _RATE, "tsitouras2011"),
    Row("bogacki_shampine", _descent(BogackiShampine), _RATE, "bogacki1989"),
    Row("dormand_prince", _descent(DormandPrince), _RATE, "dormand1980"),
    Row("sign_descent", sign_descent, _RATE, "bernstein2018", ("sign_sgd",)),
    # In the potential that is of all numbers, at width 1.
    Row("mirror_descent", partial(mirror_descent, potential="hypentropy", parameter=1.0), _RATE, "beck2003"),
    Row("rkc", stabilised_descent, _RATE, "verwer1996", ("stabilised_descent",)),
    Row("rkc2", _descent(lambda: RungeKuttaChebyshev(2, stages=10)), _RATE, "sommeijer1998"),
    Row("rkl1", _descent(lambda: RungeKuttaLegendre(1, stages=9)), _RATE, "meyer2014"),
    Row("rkl2", _descent(lambda: RungeKuttaLegendre(2, stages=9)), _RATE, "meyer2014"),
    Row("adaptive_chebyshev", _controlled(AdaptiveChebyshev), {}, "manteuffel1978", ("chebyshev",)),
    Row("proximal_point", _descent(ImplicitEuler), _RATE, "rockafellar1976", ("implicit_euler",)),
    Row("implicit_midpoint", _descent(ImplicitMidpoint), _RATE, "hairer1996"),
    Row("rosenbrock_euler", _descent(RosenbrockEuler), _RATE, "hairer1996", ("damped_newton",)),
    Row("rodas5p", _descent(Rodas5P), _RATE, "steinebach2023"),
    Row("exponential_euler", _descent(ExponentialEuler), _RATE, "hochbruck2010"),
    Row("auto", _controlled(PseudoTransient), _ENDING, "kelley1998", ("minimize",)),
    Row("momentum", momentum, _PAIR, "polyak1964", ("heavy_ball", "sgd_momentum")),
    Row("nesterov", nesterov, _PAIR, "sutskever2013", ("nag",)),
    Row("midpoint_momentum", midpoint_momentum, _PAIR, "sutskever2013"),
    Row("leapfrog", leapfrog, _PAIR, "hairer2003"),
    Row("adam", adam, _ADAM, "kingma2015"),
    Row("adamw", adamw, _ADAM | {"weight_decay": 1e-4}, "loshchilov2019"),
    Row("nadam", nadam, _ADAM, "dozat2016"),
    Row("rmsprop", rmsprop, {"learning_rate": 0.01, "beta2": 0.9, "epsilon": 1e-8}, "hinton2012"),
    Row("lion", lion, {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0}, "chen2023"),
    Row("muon", muon, _MUON | {"epsilon": 1e-8}, "jordan2024"),
    Row("heavy_ball_euler", _motion(HeavyBall, Euler), _BALL, "polyak1964"),
    Row("heavy_ball_midpoint", _motion(HeavyBall, Midpoint), _BALL, "runge1895"),
    Row("heavy_ball_heun", _motion(HeavyBall, Heun), _BALL, "heun1900"),
    Row("heavy_ball_ralston", _motion(HeavyBall, Ralston), _BALL, "ralston1962"),
    Row("heavy_ball_rk4", _motion(HeavyBall, RK4), _BALL, "kutta1901"),
    Row("heavy_ball_tsit5", _motion(HeavyBall, Tsit5), _BALL, "tsitouras2011"),
    Row("heavy_ball_implicit_midpoint", _motion(HeavyBall, ImplicitMidpoint), _BALL, "hairer1996"),
    Row("heavy_ball_rodas5p", _motion(HeavyBall, Rodas5P), _BALL, "steinebach2023"),
    Row("heavy_ball_exponential_euler", _motion(HeavyBall, ExponentialEuler), _BALL, "hochbruck2010"),
    Row("nesterov_flow", _motion(NesterovFlow, Leapfrog), _NESTEROV, "su2016"),
    Row("nesterov_flow_lookahead", _motion(NesterovFlow, lambda: Lookahead(1.0)), _NESTEROV, "su2016"),
    Row("nesterov_restart", _motion(NesterovFlow, lambda: Restarted(by="gradient")), _NESTEROV, "donoghue2015"),
    Row("nesterov_restart_speed", _motion(NesterovFlow, lambda: Restarted(by="speed")), _NESTEROV, "su2016"),
    Row("nesterov_flow_rk4", _motion(NesterovFlow, RK4), _NESTEROV, "su2016"),
    Row("bregman_flow_rk4", _motion(BregmanFlow, RK4), _BREGMAN, "wibisono2016"),
    Row("hessian_damped_rk4", _motion(HessianDampedFlow, RK4), _HESSIAN, "attouch2016"),
    Row("high_resolution_rk4", _motion(HighResolutionFlow, RK4), _HIGH, "shi2022"),
    Row("high_resolution_strong_rk4", _motion(HighResolutionFlow, RK4), _HIGH_STRONG, "shi2022"),
    Row("sgld", sgld, _HEAT, "welling2011", ("euler_maruyama", "langevin")),
    Row("mala", mala, _HEAT, "roberts1996", ("metropolis_langevin",)),
    Row("replica_exchange", _diffusion(lambda: ReplicaExchange(MetropolisAdjustedLangevin())), _HEAT, "swendsen1986"),
    Row("leimkuhler_matthews", _diffusion(LeimkuhlerMatthews), _HEAT, "leimkuhler2013"),
    Row("stochastic_heun", _diffusion(StochasticHeun), _HEAT, "kloeden1992"),
    Row("coloured_langevin", _motion(ColouredLangevin, StochasticHeun), _COLOURED, "hanggi1995"),
    Row("underdamped_euler_maruyama", _motion(UnderdampedLangevin, EulerMaruyama), _BATH, "kloeden1992"),
    Row(
        "baoab",
        _motion(UnderdampedLangevin, lambda: Splitting("BAOAB")),
        _BATH,
        "leimkuhler2013",
        ("underdamped_langevin",),
    ),
    Row("generalized_langevin", _motion(_remembering, lambda: Splitting("BAOAB")), _BATH, "ceriotti2010"),
    Row("adaptive_langevin", _motion(AdaptiveLangevin, lambda: Splitting("BADODAB")), _THERMOSTAT, "leimkuhler2016"),
    Row("aboba", _motion(UnderdampedLangevin, lambda: Splitting("ABOBA")), _BATH, "leimkuhler2013"),
    Row("obabo", _motion(UnderdampedLangevin, lambda: Splitting("OBABO")), _BATH, "bussi2007"),
    Row("oabao", _motion(UnderdampedLangevin, lambda: Splitting("OABAO")), _BATH, "leimkuhler2015"),
    Row("baoa", _motion(UnderdampedLangevin, lambda: Splitting("BAOA")), _BATH, "leimkuhler2015"),
)


# Rows of a user's, in the order in which they came.
_REGISTERED: dict[str, Row] = {}


def table() -> tuple[Row, ...]:
    """Every method: name, aliases, dynamics, scheme, order, gradients per step, stability, reference.

    Ours first, then what was registered.

    >>> import thalweg as tw
    >>> row = tw.table()[0]
    >>> row.name, row.order, row.gradients_per_step, row.stability
    ('gradient_descent', 1, 1, 'learning_rate < 2')
    """
    return _Table((*_ROWS, *_REGISTERED.values()))


class _Table(tuple[Row, ...]):
    """Rows, which a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from .._showing.html import table_html
        from .._showing.text import make_table

        cells = []
        for row in self:
            numbers = ", ".join(f"{name} {value:g}" for name, value in row.defaults.items())
            scheme = getattr(row.scheme, "name", type(row.scheme).__name__)
            aliases = ", ".join(row.aliases)
            cells.append((row.name, aliases, type(row.dynamics).__name__, scheme, row.order, numbers))
        return table_html(make_table(("method", "aliases", "law of motion", "scheme", "order", "numbers"), cells))


def find_row(name: str) -> Row:
    """The row of a name or alias; a near miss is suggested."""
    names = _names(table())
    if name not in names:
        raise InputError(f"method {name!r} is unknown{suggest(name, names)}")
    return names[name]


@typed()
def register(row: Row) -> Row:
    """Make a method of one's own known by its name and aliases in this process, to `tw.table` and whatever asks it.

    The same row again, as when a cell is run or a module loaded once more, takes the place of the first: one of the
    same name, made by a function of the same name and module. In a module, `cubic = tw.register(tw.Row(...))` is the
    method `module:cubic` of the command line.

    Arguments:
        row: a `tw.Row`.

    Returns:
        the row.

    Raises:
        InputError: a name is taken or is none, a default is no number, or no method can be built of it.

    >>> import thalweg as tw
    >>> def lazy_ball(objective, step_size, friction):
    ...     return tw.Method(tw.HeavyBall(objective, friction, mass=10.0), tw.Heun(), step_size)
    >>> row = tw.register(tw.Row("lazy_ball", lazy_ball, {"step_size": 0.1, "friction": 1.0}))
    >>> [row.name for row in tw.table()][-1], row.gradients_per_step
    ('lazy_ball', 2)
    """
    check_row(row)
    others = _names(other for other in table() if other.name != row.name or other.name not in _REGISTERED)
    for name in (row.name, *row.aliases):
        if name in others:
            holder = others[name].name
            whose = f"an alias of {holder}" if name != holder else "another method"
            raise InputError(f"row {row.name!r}: the name {name!r} is taken, by {whose}; choose another")
    before = _REGISTERED.get(row.name)
    if before is not None and origin(before.make) != origin(row.make):
        raise InputError(f"row {row.name!r}: the name is taken, by another row that was registered; choose another")
    _REGISTERED[row.name] = row
    return row


def _names(rows: Iterable[Row]) -> dict[str, Row]:
    return {alias: row for row in rows for alias in (row.name, *row.aliases)}
