"""Statistics of accuracies and of their paired comparison. Pure: neither pytest nor an engine."""

from pytest_thinkslm.statistics.intervals import AccuracyInterval, Interval, accuracy_interval, wilson

__all__ = ["AccuracyInterval", "Interval", "accuracy_interval", "wilson"]
