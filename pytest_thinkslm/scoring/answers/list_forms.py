r"""Other spellings of a list, made into commas: chains, arrays, table rows, signs in brackets or apart from the number.

Every replacement has the length of what it replaces, so that positions in the text stay valid.
"""

from __future__ import annotations

import re

_SPACED = "and|und|et|y|e|и|&"
_UNSPACED = "和|与|及|と|와|과"
#: The word before the last item, "1, 2 and 3", in the languages that models answer in; with the blanks that it needs.
JOINER = f"(?:{_SPACED}|{_UNSPACED})"
LAST_LINK = f"(?:[ ](?:{_SPACED})[ ]|[{_UNSPACED.replace('|', '')}])"

_ARROW = r"\\(?:(?:long)?(?:right|left)arrow|(?:R|Longr)ightarrow|to|implies)(?![a-zA-Z])"
_CHAIN = re.compile(rf"\\(?:leqslant|leq|le|lt|prec|geqslant|geq|ge|gt|quad|qquad|;|,)(?![a-zA-Z])|{_ARROW}|<=|>=|=>")
_LINK_CHARACTERS = str.maketrans(dict.fromkeys("≤⩽≥⩾⇒⟶➜➔＜、", ","))
_DESCENDING = re.compile(r"(?<=[0-9$)][ ])>(?=[ ][$(]?-?[0-9])")
# What a chain joins: a number, perhaps in dollars or brackets, on both sides.
_NUMBER_BEFORE = re.compile(r"[0-9)\]}][\s$,)}]{0,4}\Z")
_NUMBER_AFTER = re.compile(r"[\s$,({]{0,4}[-+]?\s?[0-9]")
_ARRAY = re.compile(r"\\begin\s?\{([a-z]{0,1}matrix|array|aligned|tabular)\}(?:\s?\{[clr|\s]{0,80}\})?")
_ARRAY_END = re.compile(r"\\end\s?\{(?:[a-z]{0,1}matrix|array|aligned|tabular)\}")
_CELL = r"[ \t]{0,8}"
# A row of a table; its first cell may be a label.
_CELL_ITEM = r"\(?[-+]?[ ]?[0-9]{1,9}\)?"
_ROW = re.compile(
    rf"^(?P<label>{_CELL}\|?{_CELL}[A-Za-z*][^|\n0-9]{{0,40}}\|)?"
    rf"{_CELL}\|?{_CELL}{_CELL_ITEM}(?:{_CELL}\|{_CELL}{_CELL_ITEM}){{2,200}}{_CELL}\|?{_CELL}$",
    re.MULTILINE,
)
# "(-33), (-5)": a negative item in brackets of its own, where an item can stand.
_IN_BRACKETS = re.compile(
    r"(?<![0-9A-Za-z)\]}*/^])(\([ ]?)(-[ ]?[0-9]{1,9})([ ]?\))(?=[\s$]{0,3}(?:[,;&|<\])}\n]|\\|→|->|\Z))"
)
# "- 33" behind what separates items (a replaced link leaves its length in blanks); at a line's start it is a bullet,
# unless the next item is written so, too.
_SIGN_APART = re.compile(r"-[ ](?=[0-9])")
_ITEM_ENDED = re.compile(r"(?:[,;\[{(&|<:=]|->|→)[ \t$]{0,16}\Z")
_LINE_BEGUN = re.compile(r"(?:\n|\A)[ \t$]{0,3}\Z")
_NEXT_SIGN_APART = re.compile(r"-[ ][0-9]{1,9}[ ]?,[ ]?-[ ][0-9]")
_SIGN_WORD = re.compile(r"\b(?:minus|negative)[ ](?=[0-9])")
_WHOLE_FLOAT = re.compile(r"(?<=[0-9])\.0(?=[\s,;\])}|]|\Z)")
_BRACED_JOINER = re.compile(rf"({_SPACED})([\s]?)\}}")


def with_commas(text: str) -> str:
    """``text`` with every list spelled with commas and signs beside their numbers; of the same length."""
    if "\\begin" in text:
        text = _without_arrays(text)
    if "}" in text:
        text = _BRACED_JOINER.sub(lambda match: f"{match[1]}{match[2]} ", text)
    if ".0" in text:
        text = _WHOLE_FLOAT.sub("  ", text)
    if "minus " in text or "negative " in text:
        text = _SIGN_WORD.sub(lambda match: " " * (len(match[0]) - 1) + "-", text)
    if "|" in text:
        text = _ROW.sub(_row, _signs_beside(text))
    if not text.isascii():
        text = text.translate(_LINK_CHARACTERS)
    if " > " in text:
        text = _DESCENDING.sub(",", text)
    if "\\" in text or "=" in text:
        text = _CHAIN.sub(lambda match: _link(match, text), text)
    return _signs_beside(text)


def _signs_beside(text: str) -> str:
    """``text`` with every sign that stands in brackets or apart beside its number."""
    if "(-" in text or "( -" in text:
        text = _IN_BRACKETS.sub(lambda match: f"{' ' * len(match[1])}{match[2]}{' ' * len(match[3])}", text)
    if "- " in text:
        text = _SIGN_APART.sub(_sign, text)
    return text


def _sign(match: re.Match[str]) -> str:
    text, start = match.string, match.start()
    before = text[max(0, start - 20) : start]
    if _ITEM_ENDED.search(before) or (_LINE_BEGUN.search(before) and _NEXT_SIGN_APART.match(text, start)):
        return " -"
    return match[0]


def _link(match: re.Match[str], text: str) -> str:
    """A comma in place of a link between two numbers; a mere space of LaTeX, or a link between words, as it stands."""
    before, after = text[max(0, match.start() - 8) : match.start()], text[match.end() : match.end() + 8]
    if not (_NUMBER_BEFORE.search(before) and _NUMBER_AFTER.match(after)):
        return match[0]
    separated = "," in before[-4:] or after.lstrip(" $").startswith(",") or "<" in before[-2:]
    return (" " if separated else ",") + " " * (len(match[0]) - 1)


def _row(match: re.Match[str]) -> str:
    row = match[0]
    label = len(match["label"] or "")
    inner = row[label:].strip(" \t|")
    start = row.index(inner, label)
    return " " * start + inner.replace("|", ",") + " " * (len(row) - start - len(inner))


def _without_arrays(text: str) -> str:
    """Arrays and matrices of LaTeX as items with commas; only the stretch between ``\\begin`` and ``\\end`` changes."""
    pieces, position = [], 0
    for start in _ARRAY.finditer(text):
        if start.start() < position or (end := _ARRAY_END.search(text, start.end(), start.end() + 8_000)) is None:
            continue
        inside = text[start.end() : end.start()].replace("\\\\", ", ").replace("&", ",")
        pieces += [text[position : start.start()], " " * (start.end() - start.start()), inside]
        pieces.append(" " * (end.end() - end.start()))
        position = end.end()
    return "".join([*pieces, text[position:]])
