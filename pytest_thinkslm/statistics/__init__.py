"""Statistics of accuracies and of their paired comparison. Pure: neither pytest nor an engine.

Accuracies, differences and margins are fractions here; scipy and statsmodels are imported where they are used.
"""

from pytest_thinkslm.statistics.families import holm, holm_levels
from pytest_thinkslm.statistics.intervals import AccuracyInterval, Interval, accuracy_interval, wilson
from pytest_thinkslm.statistics.paired import PairedResult, compare_paired
from pytest_thinkslm.statistics.paired_table import PairedTable, PValue
from pytest_thinkslm.statistics.power import (
    assumed_discordance,
    items_needed,
    items_to_pass,
    power_to_detect,
    power_to_pass,
    smallest_detectable_drop,
)
from pytest_thinkslm.statistics.repeats import RunSpread, majority_vote, mean_pass_at_k, pass_at_k, run_spread
from pytest_thinkslm.statistics.unpaired import UnpairedResult, compare_unpaired, difference_interval

__all__ = [
    "AccuracyInterval",
    "Interval",
    "PValue",
    "PairedResult",
    "PairedTable",
    "RunSpread",
    "UnpairedResult",
    "accuracy_interval",
    "assumed_discordance",
    "compare_paired",
    "compare_unpaired",
    "difference_interval",
    "holm",
    "holm_levels",
    "items_needed",
    "items_to_pass",
    "majority_vote",
    "mean_pass_at_k",
    "pass_at_k",
    "power_to_detect",
    "power_to_pass",
    "run_spread",
    "smallest_detectable_drop",
    "wilson",
]
