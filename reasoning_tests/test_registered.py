"""Tests of tasks that a package or a conftest registers: ``--task KEY`` needs no path and no test of one's own."""

from pytest_thinkslm.tasks.registry import generic_tests

globals().update(generic_tests())
