"""The options of one item, found in a text: by letter, by number, by their own text."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_QUOTES = str.maketrans(
    {**dict.fromkeys("“”„«»「」『』", '"'), **dict.fromkeys("‘’‚", "'"), "\u00a0": " ", "\u202f": " "}
)
# Full-width letters, digits and marks, and the marks of Chinese and Japanese sentences.
_NARROW = str.maketrans(
    {
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF10, 0xFF5B)},
        "。": ". ",
        "，": ", ",
        "、": ", ",
        "：": ": ",
        "；": "; ",
        "！": "! ",
        "？": "? ",
        "．": ". ",
        "（": " (",
        "）": ") ",
        "【": " [",
        "】": "] ",
        "［": " [",
        "］": "] ",
        "\u3000": " ",
    }
)
# A blank between a Latin letter and a script that writes none: "选择D选项", "정답은 C입니다".
_SCRIPT = r"\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_SCRIPT_EDGE = re.compile(rf"(?<=[{_SCRIPT}])(?=[A-Za-z0-9(\[\"'])|(?<=[A-Za-z0-9)\]\"'])(?=[{_SCRIPT}])")
# Cyrillic letters that look like Latin ones, where they stand as an option's letter: "Ответ: С."
_CYRILLIC = str.maketrans("АВСЕ", "ABCE")
_CYRILLIC_LETTER = re.compile(r"(?<!\w)[АВСЕ](?=\s{0,3}(?:[.,;:!)\]\"']|\n|\Z))")
_WIDE = re.compile(rf"[{_SCRIPT}\u3000-\u303f\uff00-\uffef]")
# Every branch begins with its mark, so that the search skips from mark to mark.
_MARKUP = re.compile(
    r"\*\**|``*|\$\$*|~~|__+|_(?:(?<![^\W_]_)(?=[^\s_])|(?<=[^\s_]_)(?![^\W_]))"
    r"|\\(?:text(?:bf|it|rm|sf|tt)?|math(?:rm|bf|it|sf|tt|bb)|mbox|boldsymbol|bm|underline|emph|operatorname)(?=\s?\{)"
    r"|\\(?:bf|rm|it|sf|tt|bfseries|itshape|displaystyle|q?quad|left|right|large|Large)(?![a-zA-Z])"
    r"|\\[()\[\]](?![a-zA-Z])|\\[,;:!]|\\(?:text)?color\s?\{[a-zA-Z]{1,20}\}"
    r"|</?(?:b|i|u|p|em|strong|span|mark|code|div|center|h[1-6])>"
)
_BLANKS = re.compile(r"\s\s{5,}")
# Of options, most have none of what ``clean`` takes out.
_MAY_NEED_CLEANING = re.compile(r"[^\x00-\x7f]|[*`$~_\\<]|\s\s{5}")

# A choice stands at the start or the end of an output; what lies between in a very long one is not read.
_HEAD_READ = 8_000
_TAIL_READ = 24_000


def clean(text: str) -> str:
    """Text without markup and LaTeX wrapping, with plain quotes, narrow letters and marks, no long runs of blanks."""
    if len(text) > _HEAD_READ + _TAIL_READ:
        text = f"{text[:_HEAD_READ]}\n{text[-_TAIL_READ:]}"
    if not text.isascii():
        text = text.translate(_QUOTES)
        if _WIDE.search(text):
            text = _SCRIPT_EDGE.sub(" ", text.translate(_NARROW))
        text = _CYRILLIC_LETTER.sub(lambda letter: letter[0].translate(_CYRILLIC), text)
    text = _MARKUP.sub("", text)
    return _BLANKS.sub(lambda run: "\n\n" if "\n" in run[0] else " ", text)


@dataclass(frozen=True, slots=True)
class Found:
    """An option found in a text, and where its name ends."""

    letter: str
    end: int


class Options:
    """The options of an item. ``letters`` is the item's own set; texts are compared without case and outer article."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.letters = _LETTERS[: len(texts)]
        self._by_text: dict[str, str] = {}
        repeated: set[str] = set()
        plain = not _MAY_NEED_CLEANING.search("\n".join(texts))
        for letter, text in zip(self.letters, texts, strict=False):
            for form in _forms(text if plain else clean(text)):
                if self._by_text.setdefault(form, letter) != letter:
                    repeated.add(form)
        for form in repeated:
            del self._by_text[form]
        # A number names an option by position only where no option is itself a number.
        self._numbered = not any(map(_NUMERAL.match, texts))
        # Longest first, so that "hair style" is not read as "hair".
        self._sizes = sorted({form.count(" ") + 1 for form in self._by_text}, reverse=True)
        self._first_words = {form.partition(" ")[0] for form in self._by_text}
        self._reach = 2 * max(map(len, self._by_text), default=0) + 50

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Finds any option's text; compiled only where it is needed: for an item it costs more than all else."""
        forms = sorted(self._by_text, key=len, reverse=True)
        spelled = "|".join(map(_spelled, forms))
        return re.compile(rf"(?<![\w])(?:{spelled})(?!\w|[.,]\d)" if forms else r"(?!)", re.IGNORECASE)

    def text_at(self, text: str, position: int) -> Found | None:
        """The option whose whole text stands here."""
        found = self._text_from(text, position)
        if found is None and (article := _ARTICLE.match(text, position)):
            found = self._text_from(text, article.end())
        return found

    def _text_from(self, text: str, position: int) -> Found | None:
        """The longest option whose words stand from here on."""
        if not self._sizes or (position and _WORD_CHARACTER.match(text, position - 1)):
            return None
        first = _TOKEN.match(text, position, position + self._reach)
        if first is None or first[0].lower() not in self._first_words:
            return None
        tokens = list(islice(_TOKEN.finditer(text, position, position + self._reach), self._sizes[0]))
        words = [token[0].lower() for token in tokens]
        for size in self._sizes:
            letter = self._by_text.get(" ".join(words[:size])) if size <= len(words) else None
            if letter and _ENDS.match(text, tokens[size - 1].end()):
                return Found(letter, tokens[size - 1].end())
        return None

    def letter_at(self, text: str, position: int, *, any_case: bool = False, article: bool = True) -> Found | None:
        """The letter that stands here as an answer.

        ``any_case`` takes lower case where no word can begin with it; ``article``: the language has one written "A".
        """
        letter = text[position : position + 1]
        if any_case and letter.islower() and letter.upper() in self.letters:
            alone = _ALONE_ARTICLE if letter in "ai" else _ALONE
            return Found(letter.upper(), position + 1) if alone.match(text, position + 1) else None
        if not letter or letter not in self.letters:
            return None
        end = position + 1
        if article and letter in "AI":
            # The article and the pronoun: only where punctuation or a reason follows.
            listed = _LISTED.match(text, end)
            apart = _NO_ARTICLE.match(text, end) or (listed and listed[1] in self.letters)
            return Found(letter, end) if apart else None
        return Found(letter, end) if _NO_WORD.match(text, end) else None

    def number_at(self, text: str, position: int) -> Found | None:
        """The option named by its position, from 1: "(2)", "2." but not "2 hours" or "2.5"."""
        match = _POSITION.match(text, position) if self._numbered else None
        if match is None or not 1 <= int(match[1]) <= len(self.letters):
            return None
        return Found(self.letters[int(match[1]) - 1], match.end(1))

    def mentioned(self, text: str) -> set[str]:
        """Letters of the options whose text occurs, is not denied and no verb of the speaker; at most two.

        Options that are bare numbers are looked for in the last line only: reasoning is full of numbers.
        """
        found: set[str] = set()
        if not all(map(_WORDED.search, self._by_text)):
            text = text.rstrip().rpartition("\n")[2]
        for start, named in self._occurrences(text):
            if named.letter in found or _DENIED_BEFORE.search(text, max(0, start - 30), start):
                continue
            if _DENIED_AFTER.match(text, named.end):
                continue
            if " " not in text[start : named.end].strip() and (
                _SPEAKER_BEFORE.search(text, max(0, start - 30), start) or _SPEAKER_AFTER.match(text, named.end)
            ):
                continue
            found.add(named.letter)
            if len(found) > 1:
                break
        return found

    @functools.cached_property
    def _is_plain(self) -> bool:
        """Whether words and marks of the options are told apart, and their case is folded, in one way only."""
        return all(form.isascii() and "_" not in form and form == _form(form) for form in self._by_text)

    def _occurrences(self, text: str) -> Iterator[tuple[int, Found]]:
        """Every option's text, whole, in order of position, the longest at a place; with where it starts."""
        if text.isascii() and self._is_plain:
            yield from self._plain_occurrences(text)
            return
        for match in self._pattern.finditer(text):
            # No entry where case folding alone made it match (a long s, a dotted capital I).
            if letter := self._by_text.get(_form(match[0])):
                yield match.start(), Found(letter, match.end())

    def _plain_occurrences(self, text: str) -> Iterator[tuple[int, Found]]:
        """The same without a pattern, in a text where case and words are no question."""
        lowered = text.lower()
        forms = [(form.split(" "), letter) for form, letter in self._by_text.items()]
        forms = [(words, letter) for words, letter in forms if all(word in lowered for word in words)]
        forms.sort(key=lambda one: sum(map(len, one[0])) + len(one[0]), reverse=True)
        starts = sorted(start for word in {words[0] for words, _ in forms} for start in _places(lowered, word))
        done = 0
        for start in starts:
            if start < done or (start and _WORD_CHARACTER.match(text, start - 1)):
                continue
            for words, letter in forms:
                end = _end_of(words, lowered, start)
                if end is not None and _ENDS.match(text, end):
                    yield start, Found(letter, end)
                    done = end
                    break


def _places(text: str, word: str) -> Iterator[int]:
    """Where a word begins in a text, within other words, too."""
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)


def _end_of(words: list[str], text: str, start: int) -> int | None:
    """Where words and marks end that stand in a text from ``start`` on; blanks beside marks may be missing."""
    end = start
    before = ""
    for word in words:
        here = end
        if before:
            gap = _GAP.match(text, end)
            here = gap.end() if gap else end
            if here == end and before[-1].isalnum() and word[0].isalnum():
                return None
        if not text.startswith(word, here):
            return None
        end, before = here + len(word), word
    return end


_GAP = re.compile(r"\s*")
_NUMERAL = re.compile(r"\W*\d")
_WORD_CHARACTER = re.compile(r"\w")
_WORDED = re.compile(r"[^\W\d_]")
_ENDS = re.compile(r"(?!\w|[.,]\d)")
_ARTICLE = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
# What may follow a lower-case letter: the end of its line or sentence, a closing mark, a reason, another letter.
_ALONE_ARTICLE = re.compile(
    r"\s*[).\]}\"'>;,]{0,3}\s*(?:\n|$)|[)\]}\"'.:]+(?:\s|[,.<])|</|\s?(?:,|/|or\b|and\b)\s?[a-zA-Z](?![\w'’-])"
)
_ALONE = re.compile(rf"{_ALONE_ARTICLE.pattern}|[,;:]\s|\s+(?:because|since|as|not)\b")
_NO_ARTICLE = re.compile(
    r"\s*(?:$|\n|[.):;,\]}\"'/!<](?!\w)|[-–—=]|\([^()\n]{1,200}\)|(?:because|since|as|and|or|but|with)\b|is\s)|/[A-Z]\b"
)
# "A,B", "A B C", "A & B", "A oder B": letters in a row are no articles ("AB" is a word).
_LISTED = re.compile(
    r"(?:,\s?|\s,?\s?|\s?[/&+;、]\s?|\s[^\W\d_]{1,4}\s)(?:(?:option|maybe|perhaps)\s){0,2}[\"'(\[]?([A-Z])(?![\w'’-])"
)
_NO_WORD = re.compile(r"(?![\w'’?]|-\w|\s?\?)|'\s|'$|'[.,)\]}]")
_POSITION = re.compile(r"(\d{1,2})(?=[)\]}\"'.,:;]*(?:\s*$|\s*\n|\s+(?:because|since|is)\b|[).:]\s))")
_DENIED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnor|\bthan|\bneither)(?:\s+(?:an?|the|really|actually|necessarily|simply|exactly))*\s+[\"']?$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[\"']?\s*(?:is|are|was|would\s+be)\s*(?:n't|not|incorrect|wrong|false|eliminated|ruled)\b", re.IGNORECASE
)


# "I like turtles", "can I help you": a word beside the one who speaks is his verb, not the option that is spelled so.
_SPEAKER_BEFORE = re.compile(r"\b(?:I|we|you)(?:\s+(?:can|could|will|would|do|don't|really|also))*\s+$", re.IGNORECASE)
_SPEAKER_AFTER = re.compile(r"\s+(?:I|me|you|us)\b", re.IGNORECASE)


def _forms(option: str) -> set[str]:
    """How an option's (clean) text may be written: as it stands, and without its article."""
    whole = _form(option).strip(" .;,\"'")
    article = _ARTICLE.match(whole)
    return {form for form in (whole, whole[article.end() :] if article else whole) if form}


_TOKEN = re.compile(r"\w+|[^\w\s]")


def _form(text: str) -> str:
    """Lower case, one blank between any two words or marks: "20 km/h" and "20 km / h" are one text."""
    return " ".join(_TOKEN.findall(text.lower()))


def _spelled(form: str) -> str:
    """A pattern for a form, in which blanks beside marks may be missing."""
    tokens = form.split(" ")
    gaps = [r"\s+" if one[-1].isalnum() and two[0].isalnum() else r"\s*" for one, two in pairwise(tokens)]
    return "".join(re.escape(token) + gap for token, gap in zip(tokens, [*gaps, ""], strict=True))
