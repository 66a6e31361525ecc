"""Groups of runs side by side: means with intervals, paired tests, costs and verdicts."""
