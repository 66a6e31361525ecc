"""The load loss of Shazeer et al. (2017), appendix A, equations 8 to 11."""

from __future__ import annotations

from torch import Tensor

from moe_lab.losses.importance import one_plus_squared_variation
from moe_lab.losses.switch_balance import load_share
from moe_lab.losses.term import RoutingTerm
from moe_lab.outputs import MixtureOutput, Routing


class Load(RoutingTerm):
    """1 + CV(load)^2, load_e = the sum over images of P(expert e is picked): 1 at balance, E / n
    where every image picks the same n experts.

    The paper's CV squared plus a constant, as in `Importance`, which counts weight where this
    counts images. Of top_k picks an expert has at most one per image, so that E / top_k is the most
    there is; where one expert is always picked and the others by chance, it is
    E * (1 + (top_k - 1)^2 / (E - 1)) / top_k^2.
    """

    def of_mixture(self, output: MixtureOutput, target: Tensor) -> Tensor:
        return one_plus_squared_variation(smooth_load(output.routing))


def smooth_load(routing: Routing) -> Tensor:
    """How many images each expert is expected to get, up to a common factor, [E].

    A router without noise has no such probability. Its load is then its share of all weight, from 1
    to E, with the gradient of the mean probability (straight-through), which makes it twice that of
    `switch_balance`.
    """
    if routing.selection_probs is not None:
        return routing.selection_probs.float().sum(0)
    mean_probs = routing.probs.float().mean(0)
    return load_share(routing.weights) + mean_probs - mean_probs.detach()
