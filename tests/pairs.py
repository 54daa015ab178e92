"""Laws and schemes as parameters of a test of all their pairs: every one that is exported, and laws of a user's own."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

import thalweg as tw
from tests import laws as own
from thalweg.dynamics import AbstractDynamics
from thalweg.schemes import AbstractScheme
from thalweg.schemes._solving import AbstractSolving

STEP = 0.1


def falling(time):
    """A coefficient that depends on time."""
    return 0.5 / (1.0 + time)


def slowly(time):
    """The same for Adam, whose steps are as long as its rate whatever the slope."""
    return 0.1 / (1.0 + time)


def spread(x):
    """A metric that depends on all of the position, a number."""
    return 1.5 + sum(
        jnp.sum(leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) ** 2) for leaf in jax.tree.leaves(x)
    )


def parts():
    """Two manifolds side by side, in the form of the trees of these tests."""
    return tw.geometry.Product({"b": tw.geometry.Hyperboloid(), "w": tw.geometry.Sphere()})


# Each by the class it is of, for one that is exported: its name is the first word of that of the law.
LAWS: dict[str, Callable[[Any], AbstractDynamics]] = {
    "GradientFlow": lambda f: tw.GradientFlow(f, 1.3),
    "GradientFlow of time": lambda f: tw.GradientFlow(f, falling),
    "GradientFlow in a metric": lambda f: tw.GradientFlow(f, geometry=own.Scaling()),
    "GradientFlow by length": lambda f: tw.GradientFlow(f, geometry=tw.geometry.Norm("l2", unit=True)),
    "GradientFlow by rows": lambda f: tw.GradientFlow(f, geometry=tw.geometry.Norm("l2", unit=True, per_leaf=True)),
    "GradientFlow in a number": lambda f: tw.GradientFlow(f, geometry=tw.geometry.Metric(spread)),
    "GradientFlow in a mirror": lambda f: tw.GradientFlow(f, geometry=tw.geometry.Mirror("hypentropy", 0.8)),
    "GradientFlow on simplices": lambda f: tw.GradientFlow(f, geometry=tw.geometry.Mirror("simplex")),
    "GradientFlow in a curvature": lambda f: tw.GradientFlow(f, geometry=tw.geometry.GaussNewton(own.residuals, 0.5)),
    "GradientFlow on spheres": lambda f: tw.GradientFlow(f, geometry=tw.geometry.Sphere()),
    "GradientFlow on parts": lambda f: tw.GradientFlow(f, geometry=parts()),
    "HeavyBall": lambda f: tw.HeavyBall(f, 0.7, 1.3),
    "HeavyBall of time": lambda f: tw.HeavyBall(f, falling),
    "HeavyBall on spheres": lambda f: tw.HeavyBall(f, 0.7, 1.3, geometry=tw.geometry.Sphere()),
    # Slow: where a gradient changes much in a step, a stage that is extrapolated has squares below 0.
    "AdamFlow": lambda f: tw.AdamFlow(f, 0.1, first=0.8, second=3.0, epsilon=1e-3),
    "AdamFlow of time": lambda f: tw.AdamFlow(f, slowly, epsilon=1e-3, decay=0.1),
    "AdamFlow inside": lambda f: tw.AdamFlow(
        f, 0.1, second=2.0, epsilon=0.1, share=0.8, decay=0.1, form="inside", corrected=False, coupled=True),
    "AdamFlow without mean": lambda f: tw.AdamFlow(f, 0.1, first=None, second=2.0, epsilon=1e-3),
    "AdamFlow of signs": lambda f: tw.AdamFlow(f, 0.1, second=None, share=0.7, form="sign", corrected=False),
    "MuonFlow": lambda f: tw.MuonFlow(f, 0.1, 0.8, 0.1, tw.AdamFlow(None, 0.1, first=0.8, second=3.0, epsilon=1e-3)),
    "MuonFlow exact": lambda f: tw.MuonFlow(
        f, 0.1, first=None, others=tw.AdamFlow(None, 0.1, second=2.0, epsilon=1e-3), iterations=None, corrected=False),
    "HeavyBall on parts": lambda f: tw.HeavyBall(f, 0.7, 1.3, geometry=parts()),
    "NesterovFlow": tw.NesterovFlow,
    "NesterovFlow on spheres": lambda f: tw.NesterovFlow(f, geometry=tw.geometry.Sphere()),
    "BregmanFlow": tw.BregmanFlow,
    "HessianDampedFlow": lambda f: tw.HessianDampedFlow(f, 0.2, friction=0.5),
    "HessianDampedFlow of time": lambda f: tw.HessianDampedFlow(f, 0.2),
    "HighResolutionFlow": lambda f: tw.HighResolutionFlow(f, 0.01, strong_convexity=1.0),
    "HighResolutionFlow of time": lambda f: tw.HighResolutionFlow(f, 0.01),
    "OverdampedLangevin": lambda f: tw.OverdampedLangevin(f, 0.2),
    "OverdampedLangevin of time": lambda f: tw.OverdampedLangevin(f, falling),
    "OverdampedLangevin in a number": lambda f: tw.OverdampedLangevin(f, 0.2, geometry=tw.geometry.Metric(spread)),
    "OverdampedLangevin in a diagonal": lambda f: tw.OverdampedLangevin(
        f, falling, geometry=tw.geometry.Metric(own.curvatures())),
    "OverdampedLangevin in a mirror": lambda f: tw.OverdampedLangevin(
        f, 0.2, geometry=tw.geometry.Mirror("hypentropy", 0.8)),
    "OverdampedLangevin on simplices": lambda f: tw.OverdampedLangevin(
        f, 0.002, geometry=tw.geometry.Mirror("simplex")),
    "OverdampedLangevin on spheres": lambda f: tw.OverdampedLangevin(f, 0.2, geometry=tw.geometry.Sphere()),
    "OverdampedLangevin on parts": lambda f: tw.OverdampedLangevin(f, falling, geometry=parts()),
    "UnderdampedLangevin on spheres": lambda f: tw.UnderdampedLangevin(
        f, 0.7, 0.2, 1.3, geometry=tw.geometry.Sphere()),
    "UnderdampedLangevin on parts": lambda f: tw.UnderdampedLangevin(f, falling, falling, geometry=parts()),
    "UnderdampedLangevin": lambda f: tw.UnderdampedLangevin(f, 0.7, 0.2, 1.3),
    "UnderdampedLangevin of time": lambda f: tw.UnderdampedLangevin(f, falling, falling),
    "ColouredLangevin": lambda f: tw.ColouredLangevin(f, 0.2, 0.8),
    "GeneralizedLangevin": lambda f: tw.GeneralizedLangevin(f, 0.5, 0.2, (1.0, 3.0), (0.5, 1.0)),
    "AdaptiveLangevin": lambda f: tw.AdaptiveLangevin(f, 0.2, 0.7, 3.0),
    "Field": lambda f: tw.Field(own.Downhill(f), jnp.array(0.8)),
    "Field of pieces": lambda f: tw.Field(own.Downhill(f), tw.Pieces(jnp.array([0.8, 0.4]), 2 * STEP)),
    "DampedField": lambda f: tw.DampedField(own.Downhill(f), jnp.array(0.8), 0.7, 1.3),
    "DampedField of pieces": lambda f: tw.DampedField(
        own.Downhill(f), tw.Pieces(jnp.array([0.8, 0.4]), 2 * STEP), falling),
    "ProbabilityFlow": lambda f: tw.ProbabilityFlow(tw.networks.Trigonometric(), own.Uphill(f)),
    "GradientFlow moving": lambda f: tw.GradientFlow(own.moving(f)),
    "HeavyBall moving": lambda f: tw.HeavyBall(own.moving(f), 0.7),
    "HighResolutionFlow moving": lambda f: tw.HighResolutionFlow(own.moving(f), 0.01),
    "OverdampedLangevin moving": lambda f: tw.OverdampedLangevin(own.moving(f), 0.2),
    "UnderdampedLangevin moving": lambda f: tw.UnderdampedLangevin(own.moving(f), 0.7, 0.2),
    "own Adam": own.Adam,
    "own Averaged": own.Averaged,
    "own Counting": own.Counting,
    "own Spectral": own.Spectral,
    "own SpectralBall": own.SpectralBall,
    "own Drawing": own.Drawing,
    "own DrawingMatrices": own.DrawingMatrices,
    "own Remembering": own.Remembering,
    "own Kicked": own.Kicked,
    "own Multiplied": own.Multiplied,
}  # fmt: skip

THIRD = tw.ButcherTableau("Ralston3", ((), (0.5,), (0.0, 0.75)), (2 / 9, 1 / 3, 4 / 9), 3)
WORDS = ("BAOAB", "ABOBA", "OBABO", "OABAO", "BAOA", "BADODAB")
LOOSE = {"rtol": 0.1, "atol": 0.1, "until": 0.35}

# Likewise by the class or the function that makes it.
SCHEMES: dict[str, Callable[[], AbstractScheme]] = {
    "Euler": tw.Euler,
    "Midpoint": tw.Midpoint,
    "Heun": tw.Heun,
    "Ralston": tw.Ralston,
    "RK4": tw.RK4,
    "Tsit5": tw.Tsit5,
    "BogackiShampine": tw.BogackiShampine,
    "DormandPrince": tw.DormandPrince,
    "RungeKutta": lambda: tw.RungeKutta(THIRD),
    "RungeKuttaChebyshev": tw.RungeKuttaChebyshev,
    "RungeKuttaChebyshev 2": lambda: tw.RungeKuttaChebyshev(2, stages=4),
    "RungeKuttaLegendre": lambda: tw.RungeKuttaLegendre(2),
    "RungeKuttaLegendre 1": lambda: tw.RungeKuttaLegendre(1, stages=3),
    "AdaptiveChebyshev": tw.AdaptiveChebyshev,
    "PseudoTransient": tw.PseudoTransient,
    "LevenbergMarquardt": tw.LevenbergMarquardt,
    "Adaptive": lambda: tw.Adaptive(**LOOSE),
    "Adaptive Heun": lambda: tw.Adaptive(tw.Heun(), **LOOSE),
    "Adaptive RungeKuttaChebyshev": lambda: tw.Adaptive(tw.RungeKuttaChebyshev(2), **LOOSE),
    "Adaptive Rodas5P": lambda: tw.Adaptive(tw.Rodas5P(), **LOOSE),
    "ImplicitEuler": tw.ImplicitEuler,
    "ImplicitEuler preconditioned": lambda: tw.ImplicitEuler(preconditioner=own.curvatures()),
    "ImplicitMidpoint": tw.ImplicitMidpoint,
    "RosenbrockEuler": tw.RosenbrockEuler,
    "RosenbrockWanner": lambda: tw.RosenbrockWanner(own.RODAS5P, dense=0),
    "Rodas5P": tw.Rodas5P,
    "ExponentialEuler": tw.ExponentialEuler,
    "MinimizingMovement": tw.MinimizingMovement,
    "BirthDeath": tw.BirthDeath,
    "FiniteVolumes": tw.FiniteVolumes,
    "ExactFokkerPlanck": tw.ExactFokkerPlanck,
    "Leapfrog": tw.Leapfrog,
    "Leapfrog from zero": lambda: tw.Leapfrog(start="zero"),
    "LieTrotter": tw.LieTrotter,
    "LieTrotter by Nesterov": lambda: tw.LieTrotter(nesterov=True),
    "LieTrotter with a schedule": lambda: tw.LieTrotter(nesterov=True, momentum_decay=0.1),
    "Lookahead": tw.Lookahead,
    "Lookahead by half": lambda: tw.Lookahead(0.5),
    "Restarted": tw.Restarted,
    "Restarted by function": lambda: tw.Restarted(tw.Leapfrog(), by="function"),
    "Restarted by speed": lambda: tw.Restarted(by="speed"),
    "DDIM": tw.DDIM,
    "ExponentialRungeKutta": lambda: tw.ExponentialRungeKutta(3),
    "ExponentialMultistep": lambda: tw.ExponentialMultistep(3),
    "Ancestral": tw.Ancestral,
    "EulerMaruyama": tw.EulerMaruyama,
    "LeimkuhlerMatthews": tw.LeimkuhlerMatthews,
    "StochasticHeun": tw.StochasticHeun,
    "MetropolisAdjustedLangevin": tw.MetropolisAdjustedLangevin,
    **{f"Splitting {word}": partial(tw.Splitting, word) for word in WORDS},
    "ReplicaExchange": lambda: tw.ReplicaExchange(tw.MetropolisAdjustedLangevin(), every=1),
    "ReplicaExchange EulerMaruyama": lambda: tw.ReplicaExchange(tw.EulerMaruyama(), every=2),
    "ReplicaExchange StochasticHeun": lambda: tw.ReplicaExchange(tw.StochasticHeun(), every=1),
    "ReplicaExchange Splitting": lambda: tw.ReplicaExchange(tw.Splitting("BAOAB"), every=1),
}  # fmt: skip


ON_RESIDUALS = frozenset({"LevenbergMarquardt"})
# What moves distributions takes no law of these, and is followed in its own tests.
ON_DENSITIES = frozenset({"FiniteVolumes", "ExactFokkerPlanck", "BirthDeath"})
# What moves backwards in time alone has no step of the length of these.
BACKWARDS = frozenset({"ReverseDiffusion", "Ancestral"})
# Nor have laws of distributions alone an objective of these.
OF_DENSITIES = frozenset({"KleinKramers", "NonreversibleFlow", "ReverseDiffusion"})


def exported(room, abstract):
    """The final classes of a kind that a room exports, and the functions that make one, by name."""
    found = set()
    for name, value in vars(room).items():
        final = inspect.isclass(value) and issubclass(value, abstract) and not name.startswith("Abstract")
        if not name.startswith("_") and (final or (inspect.isfunction(value) and name[0].isupper())):
            found.add(name)
    return found


@cache
def schemes() -> dict[str, AbstractScheme]:
    return {name: make() for name, make in SCHEMES.items()}


@dataclasses.dataclass(frozen=True)
class Pair:
    """A law and a scheme by their names."""

    law: str
    scheme: str

    def method(self, objective) -> tw.Method:
        return tw.Method(LAWS[self.law](objective), schemes()[self.scheme], STEP)

    @property
    def id(self):
        return f"{self.law}-{self.scheme}"


def every():
    return [Pair(law, scheme) for law in LAWS for scheme in SCHEMES]


@cache
def accepted() -> tuple[Pair, ...]:
    """The pairs of which a method is made."""
    found = []
    for name, make in LAWS.items():
        law = make(tw.Objective(own.bowl))
        for scheme in SCHEMES:
            try:
                tw.Method(law, schemes()[scheme], STEP)
            except tw.InputError:
                continue
            found.append(Pair(name, scheme))
    return tuple(found)


@cache
def few() -> frozenset[Pair]:
    """Each scheme that is exported once and each class of law once, at least, without those that take long to compile.

    The costly are rows of the table, where a tree and a run are compared in every suite.
    """
    chosen, count = [], dict.fromkeys(LAWS, 0)
    for name, scheme in schemes().items():
        # Of a scheme with several settings the first; Rodas5P is a tw.RosenbrockWanner.
        if (" " in name and name != "Splitting BAOAB") or name == "RosenbrockWanner":
            continue
        if (
            name in ON_DENSITIES | BACKWARDS
            or scheme.controlled
            or isinstance(scheme, AbstractSolving | tw.RosenbrockWanner | tw.ReplicaExchange)
        ):
            continue
        fitting = [pair for pair in accepted() if pair.scheme == name]
        pair = min(fitting, key=lambda pair: count[pair.law])
        chosen.append(pair)
        count[pair.law] += 1
    classes = {law.split()[0] if not law.startswith("own ") else law for law in LAWS}
    for name in sorted(classes):
        own = [law for law in LAWS if law == name or law.startswith(f"{name} ")]
        if not any(count[law] for law in own):
            chosen += [pair for pair in accepted() if pair.law in own][:1]
    return frozenset(chosen)
