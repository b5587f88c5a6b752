"""Generating ahead of the tests."""
