"""What a page said and asked for while it was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Watch:
    """Messages of the console, and addresses that were asked for."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def on(self, page: Any) -> None:
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
