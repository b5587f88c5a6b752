"""Joules from counters that a test writes: powercap folders, and an NVML that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_thinkslm.machine import energy
from pytest_thinkslm.machine.energy import EnergyMeter


def package(root: Path, name: str, microjoules: int, span: int = 1_000_000_000) -> Path:
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{span}\n")
    return folder


def test_packages_add_up_and_their_parts_do_not(tmp_path: Path) -> None:
    for name, at in (("intel-rapl:0", 1_000_000), ("intel-rapl:1", 5_000_000), ("intel-rapl:0:0", 7)):
        package(tmp_path, name, at)
    meter = EnergyMeter(powercap=tmp_path)
    assert meter.joules() == 0
    for name, at in (("intel-rapl:0", 3_000_000), ("intel-rapl:1", 5_500_000), ("intel-rapl:0:0", 900_000_000)):
        package(tmp_path, name, at)
    assert meter.joules() == pytest.approx(2.5)


def test_a_counter_that_starts_again_goes_on(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 999_000_000)
    meter = EnergyMeter(powercap=tmp_path)
    package(tmp_path, "intel-rapl:0", 1_000_000)
    assert meter.joules() == pytest.approx(2)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert meter.joules() == pytest.approx(2)


def test_without_a_counter_nothing_is_known(tmp_path: Path) -> None:
    (package(tmp_path, "intel-rapl:0", 5) / "energy_uj").write_text("secret")
    meter = EnergyMeter(powercap=tmp_path)
    meter.tick()
    assert meter.joules() is None


def test_gpus_are_counted_by_their_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {0: 100.0, 1: 200.0}
    monkeypatch.setattr(energy, "nvml_energy", lambda gpu: taken.get(gpu))
    meter = EnergyMeter([1, 2], powercap=tmp_path)
    taken.update({0: 900.0, 1: 230.0})
    assert meter.joules() == pytest.approx(30)
