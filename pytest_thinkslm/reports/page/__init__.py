"""``report.html``: a run as one page without network, built when a run ends or from an existing report folder."""

from pytest_thinkslm.reports.page.build import write_joined_page, write_page

__all__ = ["write_joined_page", "write_page"]
