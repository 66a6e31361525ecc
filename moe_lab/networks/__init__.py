"""Networks that serve as expert, gate or backbone, [n, ...] -> [n, out], and know none of these."""

from moe_lab.networks.conv_net import ConvNet
from moe_lab.networks.headed import Headed
from moe_lab.networks.perceptron import perceptron

__all__ = ["ConvNet", "Headed", "perceptron"]
