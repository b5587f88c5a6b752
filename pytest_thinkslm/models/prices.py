"""What tokens and hours cost, from the user's own table.

In the nearest pyproject.toml at or above the current folder:

    [tool.thinkslm.prices]
    currency = "USD"                                     # as it is to be shown; the default
    "gpt-4.1-mini" = { input = 0.40, output = 1.60 }     # for a million tokens
    "llama-*" = { hour = 2.50 }                          # of the machine, while it generates

Names are those that ``--model`` takes, globs allowed; the first that matches counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_thinkslm.core import files
from pytest_thinkslm.core.errors import UsageError
from pytest_thinkslm.models.catalogue import pyproject

_TABLE = "[tool.thinkslm.prices]"
_FIELDS = ("input", "output", "hour")


@dataclass(frozen=True, slots=True)
class Price:
    """Prices in ``currency``: of a million prompt tokens, of a million new tokens, of an hour."""

    input: float = 0.0
    output: float = 0.0
    hour: float = 0.0
    currency: str = "USD"

    def of(self, prompt_tokens: int, new_tokens: int, seconds: float | None) -> float | None:
        """The price of a run; None where it depends on a time that is not known."""
        if self.hour and seconds is None:
            return None
        return (prompt_tokens * self.input + new_tokens * self.output) / 1e6 + self.hour * (seconds or 0.0) / 3600


def price_of(model: str, start: Path | None = None) -> Price | None:
    """The price of a model; None where no table names it.

    Args:
        model: as it was given, or its name.
        start: where the search for pyproject.toml begins, upward; default: the current folder.

    Raises:
        UsageError: the table cannot be used; names the file and the entry.
    """
    file = pyproject((start or Path.cwd()).absolute())
    if file is None:
        return None
    try:
        document = files.read_toml(file)
    except (OSError, ValueError) as problem:
        raise UsageError(f"{file} cannot be read: {problem}") from None
    tool = document.get("tool", {}).get("thinkslm", {})
    table = tool.get("prices", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{file}: {_TABLE} is no table of prices by model")
    currency = table.get("currency", "USD")
    prices = {name: _price(file, name, value, str(currency)) for name, value in table.items() if name != "currency"}
    return next((price for name, price in prices.items() if fnmatchcase(model, name)), None)


def _price(file: Path, name: str, value: object, currency: str) -> Price:
    if not isinstance(value, dict) or not value or not set(value) <= set(_FIELDS):
        raise UsageError(
            f"{file}: {_TABLE} {name!r}: give input and output (for a million tokens) or hour, "
            "e.g. { input = 0.4, output = 1.6 }"
        )
    for field, number in value.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < float("inf"):
            raise UsageError(f"{file}: {_TABLE} {name!r}: {field} = {number!r} is no price")
    return Price(**value, currency=currency)
