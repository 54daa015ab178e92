"""A trained network with its depth and its scheme changed: tells whether it follows an ODE."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, check_count, check_number
from .._methods.linearity import in_float64
from .._networks.inputs import as_classes, as_inputs
from .._networks.margin import raveled, stability
from .._networks.network import Network, fixed, mapped, networks_in
from .._programs import compiled_quickly
from .._showing.text import make_table, plain
from .._typed import typed
from ..schemes import RK4, AbstractScheme, DormandPrince, Euler, Midpoint
from .order import fitted_order

# The flow is that of a Dormand-Prince scheme whose steps are halved until its outputs stay, or so many are made.
_STAYS, _MOST = 1e-11, 4096
# Of a flow that is not followed as closely as this, nothing is said.
_FOLLOWED = 1e-2
_POINT = 0.01
_INPUTS = 4


@dataclasses.dataclass(frozen=True)
class DepthTransfer:
    r"""Outputs of one field cut into steps by several schemes at several depths.

    Attributes:
        schemes: names of the schemes, the network's own first.
        depths: numbers of steps, the network's own first.
        outputs: array (schemes, depths, inputs, k), of a classifier the logits.
        flow: array (inputs, k), the outputs of the ODE itself.
        changes: array (schemes, depths), the distance of outputs from those of the flow, root mean square over inputs,
            in units of the spread of the flow's outputs over the inputs.
        orders: array (schemes,), the observed orders; NaN where the depths are too coarse to see one.
        accuracy: array (schemes, depths), of the largest logit; None without labels.
        flow_accuracy: of the flow.
        follows_ode: the verdict; `reason` says why.
        reason: words.
        times: array (steps,), of the steps that were probed.
        radii: array (steps, inputs), spectral radii of the step of the network itself at what it makes of a few inputs.
        margins: array (steps, inputs), the largest step at which nothing that the law damps there is blown up, over
            the step; infinite where it damps nothing. A momentum network is looked at with the mass that it has. Where
            x is of more than 512 numbers, eight steps and two inputs are looked at, and of the field the eigenvalues
            that are the largest, the most negative and the farthest from real ones, by Arnoldi's method; NaN where none
            was found.
        outermost: tells that it was so, and the margins are the most that there can be: a mode that turns and is hardly
            damped, which Euler's steps blow up soonest, may lie deeper in the spectrum.
        tolerance: the most that the outputs of a network that follows its ODE may be from those of the flow.
    """

    schemes: tuple[str, ...]
    depths: tuple[int, ...]
    outputs: np.ndarray
    flow: np.ndarray
    changes: np.ndarray
    orders: np.ndarray
    accuracy: np.ndarray | None
    flow_accuracy: float | None
    follows_ode: bool
    reason: str
    times: np.ndarray
    radii: np.ndarray
    margins: np.ndarray
    outermost: bool
    tolerance: float

    def __repr__(self) -> str:
        rows = []
        for i, scheme in enumerate(self.schemes):
            for j, depth in enumerate(self.depths):
                order = float(self.orders[i])
                first = None if j or not np.isfinite(order) else round(order, 2)
                own = None if self.accuracy is None else float(self.accuracy[i, j])
                rows.append((scheme, depth, float(self.changes[i, j]), own, first))
        rows.append(("the flow", None, 0.0, self.flow_accuracy, None))
        columns = ("scheme", "depth", "change", "accuracy", "order")
        keep = [k for k in range(5) if k != 3 or self.accuracy is not None]
        table = make_table([columns[k] for k in keep], [[row[k] for k in keep] for row in rows])
        verdict = f"{'follows' if self.follows_ode else 'does not follow'} an ODE: {self.reason}"
        return f"{plain(table)}\n{verdict}{self._stability}"

    @property
    def _stability(self) -> str:
        seen = ~np.isnan(self.margins)
        if not seen.any():
            return ""
        worst = np.where(seen, self.radii, -np.inf).max(axis=1)
        least = np.where(seen, self.margins, np.inf).min(axis=1)
        words = f"\na step grows at most by {worst.max():.3g}, at time {self.times[worst.argmax()]:.3g}"
        if not np.isfinite(least).any():
            return f"{words}; the field damps nothing"
        most = "at most " if self.outermost else ""
        when = self.times[least.argmin()]
        return f"{words}; the least margin of stability is {most}{least.min():.3g}, at time {when:.3g}"


@typed()
def depth_transfer(
    network: Any,
    inputs: PyTree,
    labels: Any = None,
    schemes: Sequence[AbstractScheme] | None = None,
    depths: Sequence[int] | None = None,
    tolerance: float | int = 0.1,
) -> DepthTransfer:
    r"""Cut the field of a trained network otherwise, and tell whether it follows its ODE.

    A residual network is Euler's method on $\dot x = f(x, \theta_l)$ whatever its weights are. It *follows* that ODE
    where its outputs stay as its steps are refined,

    $$\frac{\|o_{h} - o_{0}\|}{\|o_{0} - \bar o_{0}\|} \le \mathtt{tolerance},$$

    with $o_h$ its outputs at its own step, $o_0$ those of the flow, and root mean squares over the inputs: at the
    tolerance 0.1 the flow accounts for all but a hundredth of the variance of what the network answers. With labels the
    accuracy must stay within a point too, at every depth from its own on. One that was trained with few large steps
    may rely on them, and its flow then answers otherwise.

    Everything is computed in float64; a field of weights that are finite has a flow, which is found by a
    Dormand-Prince scheme whose steps are halved until the outputs stay.

    Arguments:
        network: a `tw.networks.Network`, or a module that is a function of one input and holds one, or several of one
            depth, such as a classifier with its layers before and after.
        inputs: of a leading axis that counts them.
        labels: the class of each, whole numbers; outputs are then one logit a class.
        schemes: None for the network's own and Euler's, the midpoint rule and RK4 where they go with its law.
        depths: numbers of steps, multiples of the blocks; None for the network's own times 1, 2, 4, 8 and 16. The
            network's own are added.
        tolerance: of the change between the network and its flow.

    Returns:
        a `DepthTransfer`, which prints as a table with the verdict.

    Raises:
        InputError: there is no network, the inputs have no leading axis, or a depth does not fit its blocks.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> gentle = tw.networks.residual(lambda x: -0.1 * x, depth=4, shared=True)
    >>> found = tw.analysis.depth_transfer(gentle, jnp.array([[1.0], [2.0]]), depths=(4, 8, 16, 32, 64))
    >>> found.follows_ode, found.orders.round(1).tolist()
    (True, [1.0, 2.0, 4.0])
    >>> coarse = tw.networks.residual(lambda x: -2.0 * x, depth=4, shared=True)
    >>> tw.analysis.depth_transfer(coarse, jnp.array([[1.0], [2.0]])).follows_ode
    False

    Reference: Queiruga, Erichson, Taylor and Mahoney (2020); Ott, Katiyar, Hennig and Tiemann (2021).
    """
    check_number("tolerance", tolerance, above=0.0)
    found = networks_in(network)
    if not found or not callable(network):
        raise InputError(
            f"network must be a tw.networks.Network, or a module that is called and holds one, but is {network!r}"
        )
    own = found[0]
    if len({one.depth for one in found}) > 1:
        raise InputError(f"the networks in a module must be of one depth, but are of {[one.depth for one in found]}")
    counts = _depths(found, depths)
    chosen = _schemes(own, schemes)
    with jax.enable_x64(True):
        model, xs = in_float64(network), in_float64(as_inputs(inputs))
        answers = as_classes(labels, len(jax.tree.leaves(xs)[0]))
        flow, apart = _flow(model, xs, max(counts))
        rows = [[_outputs(model, xs, scheme, count) for count in counts] for scheme in chosen]
        if not np.all(np.isfinite(flow)):
            rows = [[np.where(np.isfinite(one), one, np.nan) for one in row] for row in rows]
        probed = stability(model, xs, min(_INPUTS, len(flow)))
    outputs = np.array(rows)
    centre = flow.mean(axis=0) if len(flow) > 1 else 0.0
    spread = _rms(flow - centre) or _rms(flow) or 1.0
    changes = np.array([[_rms(one - flow) / spread for one in row] for row in outputs])
    orders = np.array([_order(counts, row) for row in changes])
    accuracy = flow_accuracy = None
    if answers is not None:
        if flow.shape[1] < 2:
            raise InputError(f"labels are of outputs with one logit a class, but outputs have {flow.shape[1]}")
        accuracy = (outputs.argmax(axis=-1) == answers).mean(axis=-1)
        flow_accuracy = float((flow.argmax(axis=-1) == answers).mean())
    follows, reason = _verdict(own, counts, changes[0], accuracy, flow_accuracy, apart / spread, float(tolerance))
    names = tuple(_name(scheme) for scheme in chosen)
    return DepthTransfer(
        names, counts, outputs, flow, changes, orders, accuracy, flow_accuracy, follows, reason, *probed,
        float(tolerance),
    )  # fmt: skip


def _depths(networks: list[Network], depths: Any) -> tuple[int, ...]:
    own = networks[0].depth
    given = [own * k for k in (2, 4, 8, 16)] if depths is None else [check_count("depths", n) for n in depths]
    for network in networks:
        for count in given:
            network.with_depth(count)
    return (own, *sorted(set(given) - {own}))


def _schemes(own: Network, schemes: Any) -> list[AbstractScheme]:
    usual = (Euler(), Midpoint(), RK4()) if own.mass is None else (RK4(),)
    given = list(usual if schemes is None else schemes)
    for scheme in given:
        own.with_scheme(fixed(scheme))
    return [own.scheme, *(scheme for scheme in given if scheme != own.scheme)]


def _outputs(model: Any, xs: PyTree, scheme: AbstractScheme, steps: int) -> np.ndarray:
    def cut(network: Network) -> Network:
        other = network.with_scheme(scheme) if network.scheme != scheme else network
        return dataclasses.replace(other, gradient="direct", _steps=jnp.asarray(steps))

    return raveled(_answers(mapped(cut, model), xs))


@compiled_quickly
def _answers(model: Any, xs: PyTree) -> PyTree:
    return jax.vmap(lambda x: model(x))(xs)


def _flow(model: Any, xs: PyTree, depth: int) -> tuple[np.ndarray, float]:
    """Outputs of the flow, and how far those of half as many steps are from them."""
    scheme = DormandPrince()
    before = _outputs(model, xs, scheme, depth)
    while True:
        depth *= 2
        now = _outputs(model, xs, scheme, depth)
        apart = _rms(now - before)
        if apart <= _STAYS * _rms(now) or depth > _MOST or not np.isfinite(apart):
            return now, apart
        before = now


def _rms(rows: np.ndarray) -> float:
    """The root of the mean square of rows."""
    return float(np.sqrt(np.mean(np.sum(np.square(rows), axis=-1))))


def _order(counts: tuple[int, ...], changes: np.ndarray) -> float:
    try:
        return fitted_order(np.array(counts), changes)
    except InputError:
        return float("nan")


def _name(scheme: AbstractScheme) -> str:
    return str(getattr(scheme, "name", type(scheme).__name__))


def _verdict(
    own: Network, counts: tuple[int, ...], changes: np.ndarray, accuracy: np.ndarray | None, of_flow: float | None,
    apart: float, tolerance: float,
) -> tuple[bool, str]:  # fmt: skip
    if not apart <= _FOLLOWED:
        return False, (
            f"its field is so steep that its flow is not found in {_MOST} steps; what it answers is made by its steps"
        )
    change = float(changes[0])
    said = f"the outputs of its {own.depth} steps are {change:.2g} of their spread from those of the flow"
    if not change <= tolerance:
        return False, f"{said}, more than {tolerance:g}; it relies on its steps{_fall(accuracy, of_flow)}"
    if accuracy is not None and of_flow is not None:
        refined = accuracy[0, [k for k, n in enumerate(counts) if n >= own.depth]]
        most = float(np.max(np.abs(np.append(refined, of_flow) - accuracy[0, 0])))
        if most > _POINT + 1e-12:
            return False, f"{said}, but its accuracy changes by {100 * most:.2g} points, more than 1"
        said += f" and its accuracy stays within {100 * most:.2g} points"
    return True, said


def _fall(accuracy: np.ndarray | None, of_flow: float | None) -> str:
    return "" if accuracy is None else f", and its accuracy is {accuracy[0, 0]:.3g}, that of the flow {of_flow:.3g}"
