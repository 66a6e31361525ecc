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
    """Pre-norm attention, then a perceptron or experts, each beside a residual connection."""

    def __init__(self, width: int, num_heads: int, mlp: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.attention = SelfAttention(width, num_heads)
        self.mlp = mlp
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Routed | None]:
        """[B, tokens, D] -> the same shape, and what was routed where experts answer."""
        tokens = tokens + self.dropout(self.attention(self.norms[0](tokens)))
        answer = self.mlp(self.norms[1](tokens))
        routed = answer if isinstance(answer, Routed) else None
        answers = answer if routed is None else routed.answers
        return tokens + self.dropout(answers), routed


class ViTMoE(Model):
    """Patches -> blocks of attention and perceptron, or routed experts -> LayeredOutput.

    1. tokens = backbone(images)                          [B, tokens, D]
    2. `depth` blocks; in each `moe_every`-th one, experts chosen token by token stand in the place
       of the perceptron, and what they drop passes by the residual connection
    3. log_probs = log_softmax of a linear layer on the normalised mean over tokens     [B, C]

    An image's routing is the mean over its tokens; an expert counts as used where one token used
    it. An expert that no token of the batch chose is not computed.
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
            is_routed = index % moe_every == moe_every - 1
            mlp = next(waiting) if is_routed else perceptron(width, mlp_hidden)
            self.blocks.append(TransformerBlock(width, num_heads, mlp, dropout))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def lacks(self) -> Collection[str]:
        return ("expert_log_probs", "features")

    def routed_layers(self) -> Mapping[str, nn.Module]:
        blocks = {f"block_{index}": block.mlp for index, block in enumerate(self.blocks)}
        return {name: mlp for name, mlp in blocks.items() if isinstance(mlp, RoutedLayer)}

    def forward(self, images: Tensor, *, every_expert: bool = False) -> LayeredOutput:
        tokens = self.backbone(images)
        layers: dict[str, Routed] = {}
        for index, block in enumerate(self.blocks):
            tokens, routed = block(tokens)
            if routed is not None:
                layers[f"block_{index}"] = routed
        logits = self.head(self.norm(tokens).mean(1))
        return as_output(logits.float().log_softmax(-1), layers)


def vit_moe(
    backbone: nn.Module,
    routers: Sequence[Router],
    experts: Sequence[ExpertBank],
    num_experts: int,
    capacity_factor: float | None = None,
    **sizes: Any,
) -> ViTMoE:
    """A `ViTMoE` of these sizes whose mixtures choose experts token by token."""
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
    """A `ViTMoE` of these sizes whose experts answer for soft averages of an image's tokens."""
    for bank in experts:
        check_expert_count(bank, num_experts)
    return ViTMoE(backbone, [SoftTokens(bank, slots) for bank in experts], **sizes)


def perceptron(width: int, hidden: int) -> nn.Sequential:
    """The block's own layers where nothing is routed. [..., D] -> [..., D]"""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
