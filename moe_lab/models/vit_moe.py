"""A small vision transformer with routed blocks (Riquelme et al. 2021, V-MoE, arXiv 2106.05974)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from moe_lab.experts import ExpertBank
from moe_lab.models.base import Model, check_expert_count, check_tokens
from moe_lab.models.layers import (
    Routed,
    RoutedLayer,
    RoutedTokens,
    SelfAttention,
    SoftTokens,
    as_output,
)
from moe_lab.outputs import LayeredOutput, Output
from moe_lab.routers import Router


class TransformerBlock(nn.Module):
    """Pre-norm attention, then a perceptron or routed experts, each with a residual connection.
    [B, tokens, D] -> [B, tokens, D]
    """

    def __init__(self, width: int, num_heads: int, mlp: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.attention = SelfAttention(width, num_heads)
        self.mlp = mlp
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Routed | None]:
        """Tokens [B, tokens, D] -> the same shape, and the routing where there are experts."""
        tokens = tokens + self.dropout(self.attention(self.norms[0](tokens)))
        update = self.mlp(self.norms[1](tokens))
        routed = update if isinstance(update, Routed) else None
        # A token that every expert has dropped gets exactly 0 here, and passes unchanged.
        outputs = update if routed is None else routed.outputs  # [B, tokens, D]
        return tokens + self.dropout(outputs), routed


class ViTMoE(Model):
    """Patches -> blocks of attention and perceptron, or routed experts -> LayeredOutput.

    1. tokens = backbone(images)                          [B, tokens, D]
    2. `depth` blocks; in every `moe_every`-th one, experts selected token by token replace the
       perceptron, and tokens that they drop pass by the residual connection
    3. log_probs = log_softmax of a linear layer on the normalised mean over tokens     [B, C]

    An image's routing is the mean over its tokens; an expert counts as used where one token used
    it. An expert that no token of the batch selected is not computed.
    """

    output_type: ClassVar[type[Output]] = LayeredOutput

    def __init__(
        self,
        backbone: nn.Module,
        mixtures: Sequence[RoutedLayer | SoftTokens],
        num_classes: int,
        depth: int = 4,
        moe_every: int = 2,
        num_heads: int = 4,
        mlp_hidden: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_tokens(backbone, wanted=True)
        if len(mixtures) != depth // moe_every or not mixtures:
            raise ValueError(
                f"model.moe_every={moe_every} makes {depth // moe_every} of {depth} blocks routed; "
                f"got {len(mixtures)} mixtures"
            )
        width = cast(int, backbone.out_features)
        self.backbone = backbone
        waiting = iter(mixtures)
        self.blocks = nn.ModuleList()
        for index in range(depth):
            # The last block of each group, so that the first experts see more than raw patches.
            is_routed = index % moe_every == moe_every - 1
            mlp = next(waiting) if is_routed else token_perceptron(width, mlp_hidden)
            self.blocks.append(TransformerBlock(width, num_heads, mlp, dropout))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def lacks(self) -> Collection[str]:
        # An expert inside a network gives tokens, which are no prediction of its own.
        return ("expert_log_probs", "features")

    def routed_layers(self) -> Mapping[str, nn.Module]:
        blocks = {f"block_{index}": block.mlp for index, block in enumerate(self.blocks)}
        return {name: mlp for name, mlp in blocks.items() if isinstance(mlp, RoutedLayer)}

    def forward(self, images: Tensor, *, every_expert: bool = False) -> LayeredOutput:
        tokens = self.backbone(images)  # [B, tokens, D]
        layers: dict[str, Routed] = {}
        for index, block in enumerate(self.blocks):
            tokens, routed = block(tokens)
            if routed is not None:
                layers[f"block_{index}"] = routed
        # The mean over tokens instead of a class token: that one would be routed as well.
        logits = self.head(self.norm(tokens).mean(1))  # [B, C]
        return as_output(logits.float().log_softmax(-1), layers)


def vit_moe(
    backbone: nn.Module,
    routers: Sequence[Router],
    experts: Sequence[ExpertBank],
    num_experts: int,
    capacity_factor: float | None = None,
    **sizes: Any,
) -> ViTMoE:
    """A `ViTMoE` of these sizes whose mixtures select experts token by token."""
    for bank in experts:
        check_expert_count(bank, num_experts)
    pairs = zip(routers, experts, strict=True)
    mixtures = [RoutedTokens(router, bank, capacity_factor) for router, bank in pairs]
    return ViTMoE(backbone, mixtures, **sizes)


def vit_soft_moe(
    backbone: nn.Module,
    experts: Sequence[ExpertBank],
    num_experts: int,
    slots: int = 2,
    **sizes: Any,
) -> ViTMoE:
    """A `ViTMoE` of these sizes whose experts process soft averages of an image's tokens."""
    for bank in experts:
        check_expert_count(bank, num_experts)
    return ViTMoE(backbone, [SoftTokens(bank, slots) for bank in experts], **sizes)


def token_perceptron(width: int, hidden: int) -> nn.Sequential:
    """The block's own layers where nothing is routed. [..., D] -> [..., D]"""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
