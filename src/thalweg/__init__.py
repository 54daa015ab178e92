"""thalweg: optimizers, samplers and flows as discretised dynamical systems."""

from typing import TYPE_CHECKING

from ._lazy import attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    # isort: off
    # In the order of the documentation.
    from ._errors import InputError as InputError
    from ._objectives.finite_sum import FiniteSum as FiniteSum
    from ._objectives.fit import Fit as Fit
    from ._objectives.least_squares import LeastSquares as LeastSquares
    from ._objectives.objective import Objective as Objective
    from ._objectives.stream import Stream as Stream
    from .dynamics import *
    from .schemes import *
    from ._methods.method import Method as Method
    from ._dictionary.adam import AdamHyperparameters as AdamHyperparameters
    from ._dictionary.adam import AdamPhysical as AdamPhysical
    from ._dictionary.lion import LionHyperparameters as LionHyperparameters
    from ._dictionary.lion import LionPhysical as LionPhysical
    from ._dictionary.muon import MuonHyperparameters as MuonHyperparameters
    from ._dictionary.muon import MuonPhysical as MuonPhysical
    from ._dictionary.conventions import Hyperparameters as Hyperparameters
    from ._dictionary.physical import Physical as Physical
    from ._dictionary.translate import Translation as Translation
    from ._dictionary.translate import translate as translate
    from ._methods.adaptive import adam as adam
    from ._methods.adaptive import adamw as adamw
    from ._methods.adaptive import lion as lion
    from ._methods.muon import muon as muon
    from ._methods.adaptive import nadam as nadam
    from ._methods.adaptive import rmsprop as rmsprop
    from ._methods.natural_gradient import gauss_newton as gauss_newton
    from ._methods.aliases import gradient_descent as gradient_descent
    from ._methods.aliases import leapfrog as leapfrog
    from ._methods.aliases import mala as mala
    from ._methods.aliases import midpoint_momentum as midpoint_momentum
    from ._methods.aliases import mirror_descent as mirror_descent
    from ._methods.aliases import momentum as momentum
    from ._methods.natural_gradient import natural_gradient as natural_gradient
    from ._methods.riemannian_momentum import riemannian_momentum as riemannian_momentum
    from ._methods.aliases import nesterov as nesterov
    from ._methods.aliases import sgld as sgld
    from ._methods.aliases import sign_descent as sign_descent
    from ._methods.aliases import stabilised_descent as stabilised_descent
    from ._methods.row import Row as Row
    from ._methods.table import register as register
    from ._methods.table import table as table
    from ._records.recorder import Recorder as Recorder
    from ._records.run import Record as Record
    from ._records.run import Run as Run
    from ._records.sweep import Sweep as Sweep
    from ._loops.run import run as run
    from ._loops.solve import Solution as Solution
    from ._loops.solve import solve as solve
    from ._loops.minimize import minimize as minimize
    from ._loops.sample import read_samples as read_samples
    from ._loops.sample import sample as sample
    from ._loops.sampling_step import SamplingWarning as SamplingWarning
    from ._loops.sweep import sweep as sweep
    from ._side_by_side.compare import Comparison as Comparison
    from ._side_by_side.compare import compare as compare
    from ._side_by_side.compare_runs import RunComparison as RunComparison
    from ._side_by_side.compare_runs import compare_runs as compare_runs
    from ._side_by_side.work_precision import WorkPrecision as WorkPrecision
    from ._side_by_side.work_precision import work_precision as work_precision
    from . import adapters as adapters
    from . import analysis as analysis
    from . import claims as claims
    from . import dynamics as dynamics
    from . import geometry as geometry
    from . import measures as measures
    from . import networks as networks
    from . import plot as plot
    from . import problems as problems
    from . import schemes as schemes
    from . import testing as testing
    from . import web as web
    # isort: on

__getattr__, __dir__, __all__ = attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
