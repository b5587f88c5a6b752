"""Decisions on accuracies, rates and drops."""
