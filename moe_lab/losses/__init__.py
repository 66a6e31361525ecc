"""What is minimised: pure terms (Output, target [B]) -> scalar, and the Objective that weighs and
logs them.
"""

from moe_lab.losses.capacity import Capacity
from moe_lab.losses.competition import Competition
from moe_lab.losses.cross_entropy import CrossEntropy
from moe_lab.losses.diversity import Diversity
from moe_lab.losses.entropy import Entropy
from moe_lab.losses.every_pass import EveryPass
from moe_lab.losses.expectation_maximisation import ExpectationMaximisation
from moe_lab.losses.gini import Gini
from moe_lab.losses.importance import Importance
from moe_lab.losses.kl_uniform import KLUniform
from moe_lab.losses.label_assignment import LabelAssignment
from moe_lab.losses.likelihood_forecast import LossPrediction
from moe_lab.losses.load import Load
from moe_lab.losses.minimum_usage import MinimumUsage
from moe_lab.losses.monotone import Monotone
from moe_lab.losses.mutual_information import MutualInformation
from moe_lab.losses.objective import Loss, Objective
from moe_lab.losses.orthogonality import Orthogonality
from moe_lab.losses.ponder import Ponder
from moe_lab.losses.predicted_error import PredictedError
from moe_lab.losses.relu_sparsity import ReluSparsity
from moe_lab.losses.router_z import RouterZ
from moe_lab.losses.sample_similarity import SampleSimilarity
from moe_lab.losses.switch_balance import SwitchBalance
from moe_lab.losses.term import RoutingTerm, Term
from moe_lab.losses.variance import Variance
from moe_lab.losses.weight import Weight

__all__ = [
    "Capacity",
    "Competition",
    "CrossEntropy",
    "Diversity",
    "Entropy",
    "EveryPass",
    "ExpectationMaximisation",
    "Gini",
    "Importance",
    "KLUniform",
    "LabelAssignment",
    "Load",
    "Loss",
    "LossPrediction",
    "MinimumUsage",
    "Monotone",
    "MutualInformation",
    "Objective",
    "Orthogonality",
    "Ponder",
    "PredictedError",
    "ReluSparsity",
    "RouterZ",
    "RoutingTerm",
    "SampleSimilarity",
    "SwitchBalance",
    "Term",
    "Variance",
    "Weight",
]
