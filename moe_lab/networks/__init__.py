"""Networks that an expert or a gate can be, [n, ...] -> [n, out]; they know neither of the two."""

from moe_lab.networks.conv_net import ConvNet
from moe_lab.networks.headed import Headed
from moe_lab.networks.perceptron import perceptron

__all__ = ["ConvNet", "Headed", "perceptron"]
