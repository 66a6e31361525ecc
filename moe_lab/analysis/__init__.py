"""What a trained model did on a split, as arrays, and experiments on it."""

from moe_lab.analysis.collected import LayerRecords, Records, collect

__all__ = ["LayerRecords", "Records", "collect"]
