"""How the outputs of the selected experts become one prediction: outputs [N, C] and a plan ->
log-probabilities [B, C].

Expert outputs are logits over classes; every rule returns proper log-probabilities in float32,
exactly one softmax deep.
"""

from moe_lab.models.combine.base import Combine
from moe_lab.models.combine.concat import CombineConcat
from moe_lab.models.combine.logits import CombineLogits
from moe_lab.models.combine.probabilities import CombineProbabilities

__all__ = ["Combine", "CombineConcat", "CombineLogits", "CombineProbabilities"]
