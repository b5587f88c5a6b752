"""The web page of ``thinkslm label --web``."""

from pytest_thinkslm.reports.label_page.server import LabelServer

__all__ = ["LabelServer"]
