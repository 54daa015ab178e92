"""Methods as torch optimizers; torch optimizers read, retuned and scheduled; the curvature of a torch loss."""

from ._torch_curvature import largest_curvature as largest_curvature
from ._torch_dictionary import adam_from_torch as adam_from_torch
from ._torch_dictionary import from_torch as from_torch
from ._torch_dictionary import retune as retune
from ._torch_muon import muon_from_torch as muon_from_torch
from ._torch_network import network as network
from ._torch_optimizer import Optimizer as Optimizer
from ._torch_scheduler import ConstantFriction as ConstantFriction
