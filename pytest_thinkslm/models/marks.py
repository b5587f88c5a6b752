"""A checkpoint's own marks of a thought: which of its tokens they are, and how its chat template spells them.

Tokenizer and template come first, the table of families (``answers/thoughts.py``) is what they are read with. Imports
no torch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_thinkslm.models.rendering import rendered
from pytest_thinkslm.scoring.answers.thoughts import HARMONY_TOKENS, is_mark, mentions_thought, opening_mark, split

#: How a thought is marked where the checkpoint's own spelling is in no table.
START, END = "<think>", "</think>"

_QUESTION, _THOUGHT, _ANSWER = "q7c1e", "t2f8a", "a9b4d"
_HARMONY = frozenset({"<|channel|>", "<|message|>"})


@dataclass(frozen=True, slots=True)
class OwnMarks:
    """Marks that only the checkpoint's chat template knows; both empty where the table of families reads them."""

    start: str = ""
    end: str = ""

    def shown(self, text: str) -> str:
        """The text as the reader takes it."""
        return text.replace(self.start, START).replace(self.end, END) if self.start else text

    def spelled(self, text: str) -> str:
        """The text as the model takes it: the reverse of ``shown``."""
        return text.replace(START, self.start).replace(END, self.end) if self.start else text


def _shared(one: str, other: str) -> int:
    """Length of the beginning that two texts share."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@functools.cache
def own_marks(template: str | None) -> OwnMarks:
    """The marks that a template puts around the thought of an assistant's turn, where no table has them."""
    if template is None:
        return OwnMarks()
    question = {"role": "user", "content": _QUESTION}
    thoughts = dict.fromkeys(("reasoning_content", "reasoning", "thinking"), _THOUGHT)
    turn = {"role": "assistant", "content": _ANSWER, **thoughts}
    prompt = rendered(template, [question])
    whole = rendered(template, [question, turn], add_generation_prompt=False)
    if prompt is None or whole is None or not 0 <= whole.find(_THOUGHT) < whole.find(_ANSWER):
        return OwnMarks()
    at = whole.index(_THOUGHT)
    start = whole[_shared(prompt, whole) : at].strip()
    end = whole[at + len(_THOUGHT) : whole.index(_ANSWER)].strip()
    known = split(f"{start}{_THOUGHT}{end}{_ANSWER}")
    cut = split(f"{start}{_THOUGHT}", cut=True)
    read = known.answer.strip() == _ANSWER and known.thought is not None and cut.open is not None
    return OwnMarks() if read or not start or not end else OwnMarks(start, end)


def has_end_mark(folder: Path, template: str) -> bool:
    """Whether it is known what ends a thought of this checkpoint: from its template, else from its tokens."""
    if mentions_thought(template) or own_marks(template).end:
        return True
    prompt = rendered(template, [{"role": "user", "content": _QUESTION}])
    if prompt is not None and opening_mark(prompt):
        return True
    tokens = [str(entry.get("content")) for entry in _added_tokens(folder) if isinstance(entry, Mapping)]
    return any(map(mentions_thought, tokens))


def mark_ids(tokenizer: Any, own: OwnMarks) -> frozenset[int]:
    """Ids of a transformers tokenizer's added tokens that are marks of a thought or parts of one."""
    added = {int(token): str(entry.content) for token, entry in tokenizer.added_tokens_decoder.items()}
    kept = _marks_among(added.values(), own)
    return frozenset(token for token, content in added.items() if content in kept)


def closing_ids(tokenizer: Any, own: OwnMarks) -> frozenset[int]:
    """Those of ``mark_ids`` that end a thought by themselves."""
    added = {int(token): str(entry.content) for token, entry in tokenizer.added_tokens_decoder.items()}
    closing = {own.end.strip()} - {""}
    return frozenset(
        token for token in mark_ids(tokenizer, own) if mentions_thought(added[token]) or added[token].strip() in closing
    )


def marks_fact(folder: Path, template: str | None) -> dict[str, object]:
    """What an engine's fingerprint says of marks: which special tokens stay in outputs.

    Nothing where there are none but those of the word "think", which have always stayed.
    """
    kept = special_marks(folder, template)
    return {"marks": kept} if any("think" not in mark.lower() for mark in kept) else {}


def special_marks(folder: Path, template: str | None) -> tuple[str, ...]:
    """The special tokens of a checkpoint folder that are marks, sorted; empty where its files do not tell."""
    contents = [
        str(entry.get("content"))
        for entry in _added_tokens(folder)
        if isinstance(entry, Mapping) and entry.get("special")
    ]
    return tuple(sorted(_marks_among(contents, own_marks(template))))


def _marks_among(contents: Iterable[str], own: OwnMarks) -> set[str]:
    every = set(contents)
    harmony = every >= _HARMONY
    plain = {content for content in every if is_mark(content) and (harmony or content not in HARMONY_TOKENS)}
    return plain | {content for content in every if content and content in own.start + "\n" + own.end}


def _added_tokens(folder: Path) -> Iterable[object]:
    if folder.is_file():
        from pytest_thinkslm.models import gguf_header

        held = gguf_header.read(folder, folder.name).special_tokens
        return [{"content": token, "special": hidden} for token, hidden in held.items()]
    for name, field in (("tokenizer_config.json", "added_tokens_decoder"), ("tokenizer.json", "added_tokens")):
        try:
            found = json.loads((folder / name).read_text(encoding="utf-8")).get(field)
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(found, dict) and found:
            return list(found.values())
        if isinstance(found, list) and found:
            return found
    return ()
