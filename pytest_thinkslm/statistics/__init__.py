"""Statistics of accuracies and of their paired comparison. Pure: neither pytest nor an engine."""

from pytest_thinkslm.statistics.intervals import Interval, wilson

__all__ = ["Interval", "wilson"]
