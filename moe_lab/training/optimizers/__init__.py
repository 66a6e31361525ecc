"""Optimizers that torch does not have. The others are configured as torch.optim has them."""

from moe_lab.training.optimizers.hidden import HiddenMuon
from moe_lab.training.optimizers.muon import Muon, orthogonalize

__all__ = ["HiddenMuon", "Muon", "orthogonalize"]
