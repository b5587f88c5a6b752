r"""How other languages than English state which option they choose: one table, a row a language.

Models answer in the language of their training, or slip into it at the end of a thought. A row holds what goes before
the option ("la respuesta es"), what follows it ("es correcta"), what may stand between ("la opción"), what denies it on
either side, and the words for "or" and "and". The patterns are matched without regard to case on text as
``optiontext.clean`` leaves it: full-width letters and marks narrowed, a blank between Latin letters and other scripts.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """The phrases of one language.

    Attributes:
        name: of the language, for errors and tests.
        hints: lower-case words of which every statement has one; a text without them is not searched.
        head: what goes before the option, as a pattern.
        tail: what follows a letter to say that it is the answer.
        filler: what may stand between head and option.
        denial: what stands there where the option is denied.
        denied: what follows an option to deny it, in languages whose negation comes last.
        joiners: the words for "or" and "and".
    """

    name: str
    hints: tuple[str, ...]
    head: str
    tail: str
    filler: str
    denial: str
    joiners: str
    denied: str = r"(?!)"


_ES_ADJECTIVE = r"(?:correct[ao]s?|final|adecuad[ao]|exact[ao]|verdader[ao])"
_PT_ADJECTIVE = r"(?:corret[ao]s?|cert[ao]s?|final|adequad[ao])"
_FR_ADJECTIVE = r"(?:correctes?|finale?|exacte|juste|bonne)"
_IT_ADJECTIVE = r"(?:corrett[ao]|giust[ao]|esatt[ao]|finale)"
_DE_ADJECTIVE = r"(?:richtig|korrekt|zutreffend)"
_RU_ADJECTIVE = r"(?:правильн|верн|окончательн|итогов)\w{1,3}"

LANGUAGES = (
    Language(
        name="Chinese",
        hints=("答", "选", "選", "正确", "正確", "是对的", "是對的"),
        head=r"(?:答案|答)\s*\]|(?<!不)正确的?(?:是|为)|(?:答案|答|结论|結論|选项|選項)\s*(?:应该?|應該?|就|也|便|显然|顯然|只能|当然|當然)*(?:是|为|為|选择?|選擇?|:|=)\s*:?"
        r"|(?<![不非排勿挑])(?<!不能)(?<!不应)(?<!不該)(?<!不该)(?<!不可)(?:选择?|選擇?)(?!项|項|手|出|举|民)\s*:?(?=\s*[\"'(\[]{0,2}[A-Z](?![A-Za-z]))",
        tail=r"(?:选项|選項|项|項)?\s*(?:才|就|最|显然|顯然)?\s*(?:是|为|為)?\s*(?:最)?(?:正确|正確|对的|對的|合适|合適)",
        filler=r"(?:选项|選項|选择|選擇|字母|第|正确|正確|的|答案|是|为|為)",
        denial=r"(?:不|非|并非|並非|没有|沒有|以上)",
        joiners=r"或者?|和|与|與|及|以及|、",
        denied=r"(?:选项|選項|项|項)?\s*(?:不对|不對|不正确|不正確|错|錯|是错|是錯)",
    ),
    Language(
        name="Japanese",
        hints=("答え", "解答", "正解", "回答", "正しい", "選択"),
        head=r"(?:答え?|解答|正解|回答|選択肢)\s*(?:は|:|=|が)\s*",
        tail=r"(?:が|は)\s*(?:正解|正しい|答え|正答)",
        filler=r"(?:選択肢|記号|番号|の)",
        denial=r"(?:不明|なし|わか)",
        joiners=r"または|と|か|及び",
        denied=r"(?:では|じゃ)\s*(?:な|あり)",
    ),
    Language(
        name="Korean",
        hints=("정답", "답", "옳", "맞"),
        head=r"(?:정답|답안|답변|답)\s*(?:은|는|이|:|=)\s*:?",
        tail=r"(?:번)?\s*(?:이|가|은|는)?\s*(?:정답|답이|맞|옳)",
        filler=r"(?:선택지|보기|번호|옵션|바로)",
        denial=r"(?:없|아니|모르)",
        joiners=r"또는|혹은|이나|나|와|과|및",
        denied=r"(?:번)?\s*(?:이|가|은|는)?\s*(?:아니|아닙|아닌|틀)",
    ),
    Language(
        name="Spanish",
        hints=("respuesta", "opción", "opcion", "alternativa", "correcta", "correcto", "elijo", "escojo", "elegimos"),
        head=rf"\b(?:respuestas?|opci[oó]n(?:es)?|alternativa|soluci[oó]n|letra)(?:\s+(?:{_ES_ADJECTIVE}|a\s+la\s+pregunta))*"
        r"\s*(?::|=|[-–—]\s|\b(?:es|son|ser[ií]a|debe\s+ser)\b)\s*:?"
        rf"|\bl[ao]\s+{_ES_ADJECTIVE}\s+es\b|\b(?:elijo|escojo|elegimos|selecciono|elegir[ií]a)\b",
        tail=rf"(?:es|son|ser[ií]a)\s+(?:l[ao]s?\s+)?(?:(?:respuestas?|opci[oó]n(?:es)?)\s+)?{_ES_ADJECTIVE}",
        filler=r"(?:la|el|las|los|letra|opci[oó]n|opciones|alternativa|respuesta|n[uú]mero|por\s+lo\s+tanto|entonces|es)\b",
        denial=r"(?:no|ni|ningun[ao]?|nunca)\b",
        joiners=r"\b(?:o|u|y|e)\b",
    ),
    Language(
        name="Portuguese",
        hints=("resposta", "opção", "opcao", "alternativa", "correta", "escolho"),
        head=rf"\b(?:respostas?|op[çc][ãa]o|op[çc][õo]es|alternativa|solu[çc][ãa]o|letra)(?:\s+{_PT_ADJECTIVE})*"
        r"\s*(?::|=|[-–—]\s|\b(?:é|e|s[ãa]o|seria|deve\s+ser)\b)\s*:?"
        rf"|\ba\s+{_PT_ADJECTIVE}\s+é\b|\bescolho\b",
        tail=rf"(?:é|s[ãa]o|seria)\s+(?:[ao]s?\s+)?(?:(?:respostas?|op[çc][ãa]o|alternativa)\s+)?{_PT_ADJECTIVE}",
        filler=r"(?:a|o|letra|op[çc][ãa]o|alternativa|resposta|n[uú]mero|portanto|ent[ãa]o|é)\b(?!\s*[).:])",
        denial=r"(?:n[ãa]o|nem|nenhuma?|nunca)\b",
        joiners=r"\b(?:ou|e)\b",
    ),
    Language(
        name="French",
        hints=("réponse", "reponse", "la bonne", "est correcte", "choisis"),
        head=rf"\b(?:r[ée]ponses?|option|choix|solution|lettre)(?:\s+{_FR_ADJECTIVE})*"
        r"\s*(?::|=|[-–—]\s|\b(?:est|sont|serait|doit\s+[êe]tre)\b)\s*:?"
        rf"|\bla\s+{_FR_ADJECTIVE}\s+est\b|\bje\s+choisis\b",
        tail=rf"(?:est|sont|serait)\s+(?:l[ae]s?\s+)?(?:{_FR_ADJECTIVE}\s+)?(?:{_FR_ADJECTIVE}|r[ée]ponse|option)(?:\s+{_FR_ADJECTIVE})?",
        filler=r"(?:la|le|les|donc|alors|ainsi|lettre|option|r[ée]ponse|choix|num[ée]ro|clairement|bien)\b|l\s?'",
        denial=r"(?:pas|non|ni|aucune?|jamais)\b",
        joiners=r"\b(?:ou|et)\b",
    ),
    Language(
        name="German",
        hints=("antwort", "lösung", "loesung", "richtig", "korrekt", "wähle"),
        head=r"\b(?:antwort(?:en|m[öo]glichkeit)?|l[öo]sung|loesung|buchstabe)(?:\s+auf\s+die\s+frage)?"
        r"\s*(?::|=|[-–—]\s|\b(?:ist|sind|lautet|w[äa]re|muss)\b)\s*:?"
        rf"|\b{_DE_ADJECTIVE}(?:e|er|es)?\s+(?:ist|sind|w[äa]re)\b|\bich\s+w[äa]hle\b",
        tail=rf"(?:ist|sind|w[äa]re)\s+(?:also\s+|daher\s+|somit\s+)?(?:die\s+|der\s+|das\s+)?{_DE_ADJECTIVE}(?:e|er|es|en)?\b",
        filler=r"(?:die|der|das|also|daher|somit|folglich|antwort(?:m[öo]glichkeit)?|option|buchstabe|nummer|richtige|eindeutig)\b",
        denial=r"(?:nicht|kein(?:e|er|es)?|weder|niemals)\b",
        joiners=r"\b(?:oder|und)\b",
    ),
    Language(
        name="Italian",
        hints=("rispost", "opzione", "corrett", "giusta", "scelgo"),
        head=rf"\b(?:rispost[ae]|opzion[ei]|soluzione|lettera|scelta)(?:\s+{_IT_ADJECTIVE})*"
        r"\s*(?::|=|[-–—]\s|(?<!\w)(?:è|e'|é|sono|sarebbe)(?!\w))\s*:?"
        rf"|\bla\s+{_IT_ADJECTIVE}\s+è(?!\w)|\bscelgo\b",
        tail=rf"(?:è|e'|é|sono|sarebbe)\s+(?:l[ae]\s+)?(?:(?:risposta|opzione)\s+)?{_IT_ADJECTIVE}",
        filler=r"(?:la|il|le|quindi|dunque|lettera|opzione|risposta|numero)\b|l\s?'",
        denial=r"(?:non|n[ée]|nessuna?|mai)\b",
        joiners=r"\b(?:o|e|oppure)\b",
    ),
    Language(
        name="Russian",
        hints=("ответ", "вариант", "правильн", "верн", "выбираю"),
        head=rf"\b(?:{_RU_ADJECTIVE}\s+)?(?:ответ(?:ом|ы)?|вариант(?:ом)?|выбор)(?:\s+на\s+вопрос)?"
        r"\s*(?::|=|[-–—]|\b(?:это|будет|является)\b)\s*:?"
        rf"|\b{_RU_ADJECTIVE}\s+(?:ответом\s+|вариантом\s+)?является\b|\bвыбираю\b",
        tail=rf"(?:[-–—]\s*)?(?:это\s+|является\s+)?{_RU_ADJECTIVE}(?:\s+(?:ответ|вариант)\w{{0,2}})?",
        filler=r"(?:ответ(?:ом)?|вариант(?:ом)?|буква|под|буквой|номер(?:ом)?|это|пункт)\b",
        denial=r"(?:не|ни|нет)\b",
        joiners=r"\b(?:или|и|либо)\b",
    ),
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A place where a language states its choice.

    ``letter`` is the position of the letter of a tail ("C es correcta"), None of a head, whose option is at ``end``.
    """

    start: int
    end: int
    letter: int | None
    language: Language


_HINTS = tuple((hint, language) for language in LANGUAGES for hint in language.hints)
_ASCII_HINTS = tuple((hint, language) for hint, language in _HINTS if hint.isascii())
_ASCII_WORDS = frozenset(hint for hint, _ in _ASCII_HINTS)


def spoken(text: str) -> tuple[Language, ...]:
    """The languages whose hints stand in a (lower-case) text: mostly none, found without a pattern."""
    if not text.isascii():
        hints = _HINTS
    elif any(map(text.__contains__, _ASCII_WORDS)):
        hints = _ASCII_HINTS
    else:
        return ()
    return tuple(dict.fromkeys([language for hint, language in hints if hint in text]))


def statements(text: str, languages: tuple[Language, ...]) -> Iterator[Statement]:
    """Every statement of the languages in the text; in each language in order of position."""
    for language in languages:
        for match in _pattern(language).finditer(text):
            letter = match.start("letter") if match["letter"] else None
            yield Statement(match.start(), match.end(), letter, language)


@functools.cache
def _pattern(language: Language) -> re.Pattern[str]:
    tail = language.tail.replace(r"\s", r"[ \t]")  # on the letter's own line
    return re.compile(rf"(?i:{language.head})|(?<![A-Za-z'’])(?P<letter>[A-Z])[)\]\"']{{0,2}}[ \t]*(?i:{tail})")


@functools.cache
def filler(language: Language) -> re.Pattern[str]:
    """One word between a head and its option."""
    return re.compile(language.filler, re.IGNORECASE)


@functools.cache
def denial(language: Language) -> re.Pattern[str]:
    """What denies the option that a head announces."""
    return re.compile(language.denial, re.IGNORECASE)


@functools.cache
def denied(language: Language) -> re.Pattern[str]:
    """What follows an option to deny it."""
    return re.compile(rf"[)\]\"'.,]{{0,3}}\s*(?:{language.denied})", re.IGNORECASE)


@functools.cache
def denial_before(language: Language) -> re.Pattern[str]:
    """What denies a letter that it stands before."""
    return re.compile(rf"(?:{language.denial})\s*[\"'(]?$", re.IGNORECASE)


def joined_before(text: str) -> str | None:
    """The letter that a word for "or" or "and" at the end of ``text`` joins to what follows: "A o" gives A."""
    match = _JOINED.search(text)
    return match[1] if match else None


#: "or" and "and" in every language, as one pattern.
JOINERS = "|".join(language.joiners for language in LANGUAGES)
_JOINED = re.compile(rf"(?<![A-Za-z])([A-Z])[)\]\"']{{0,2}}\s*(?:{JOINERS})\s*[\"'(\[]?$")
