"""Small losses that are spread over many tasks: seen together, and by no gate alone."""

import numpy as np

from pytest_thinkslm.statistics import compare_paired, holm
from pytest_thinkslm.statistics.stratified import pooled_change, stratum


def test_a_loss_that_no_gate_finds_is_found_over_all_tasks():
    generator = np.random.default_rng(0)
    found, alone = 0, 0
    for _ in range(100):
        parts, singles = [], {}
        for task in range(17):
            names = [f"{item:02d}" for item in range(40)]
            drawn = generator.random(40)
            before = {name: [1.0] for name in names}
            after = {name: [float(value >= 0.05)] for name, value in zip(names, drawn, strict=True)}
            paired = compare_paired(before, after)
            parts.append(stratum(paired, before, after, lambda item, task=task: f"{task}-{item}"))
            singles[task] = paired.worse(0).p
        found += pooled_change(parts)[0].p <= 0.05
        alone += min(holm(singles).values()) <= 0.05
    assert found >= 97
    assert alone <= 10
