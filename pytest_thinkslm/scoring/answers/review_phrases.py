"""How other languages than English label and state the judgement of a solution: one table, a row a language.

A model that reviews in the language of its training keeps the layout that the prompt asks for, and translates its
labels, its judgement, or both. A row holds the words of each; matched without regard to case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Language:
    """The words of one language, as patterns.

    Attributes:
        right: a judgement that the solution is correct.
        wrong: one that it is not; it may hold a word of ``right`` with its denial.
        judgement, step, reason: the labels of the layout, or of what a model makes of them.
        subject: what a sentence about the whole solution is about.
        copula: what stands between that and the judgement.
    """

    name: str
    right: str
    wrong: str
    judgement: str
    step: str
    reason: str
    subject: str
    copula: str


_CHINESE = Language(
    "Chinese",
    right=r"(?:完全|基本)?(?:正确|正確)(?:的|无误|無誤)?|(?<!不)(?:对|對)的?(?=\W|$)",
    wrong=r"(?:部分|不完全|不|并不|並不)(?:正确|正確)的?|错误的?|錯誤的?|有误|有誤|不(?:对|對)|(?:错|錯)的?(?=\W|$)",
    judgement=r"(?:最[终終])?(?:判断|判斷|判定|评判|評判)(?:结果|結果)?|最[终終](?:结论|結論)|解答正确性",
    step=r"(?:第一个|第一個|首个|首個|首次|最早的?)(?:出现的?)?(?:错误|錯誤|出错)的?(?:步骤|步驟|步|行)",
    reason=r"(?:错误|錯誤)(?:分析|原因)",
    subject=r"(?:解答|解法|答案|解题过程|解題過程|推理|代码|程序|该解|方案)(?:过程)?",
    copula=r"(?:整体|完全|就)?(?:是|为|為)?",
)
_JAPANESE = Language(
    "Japanese",
    right=r"(?:正しい|正解|正確)(?:です)?",
    wrong=r"(?:正しくない|不正解|不正確|誤り|間違い|間違って(?:いる|います))(?:です)?",
    judgement=r"(?:最終)?(?:判断|判定)(?:結果)?",
    step=r"最初の(?:誤り|間違い|誤った|間違った)の?(?:ステップ|段階|行)",
    reason=r"(?:誤り|エラー|間違い)の?(?:分析|理由)",
    subject=r"(?:解答|解法|答え|コード)",
    copula=r"(?:は|が)",
)
_KOREAN = Language(
    "Korean",
    right=r"(?:정답|올바름|올바르다|올바릅니다|맞음|맞습니다|옳음|정확함|정확합니다)",
    wrong=r"(?:오답|틀림|틀렸습니다|틀렸다|잘못됨|잘못되었습니다|올바르지\s?않(?:음|습니다)|부정확함|오류)",
    judgement=r"(?:최종\s?)?(?:판단|판정)",
    step=r"첫\s?번째\s?(?:오류|잘못된)\s?(?:단계|줄)",
    reason=r"오류\s?(?:분석|원인)",
    subject=r"(?:풀이|해답|답|코드)",
    copula=r"(?:은|는|이|가)",
)
_EUROPEAN = (
    Language(
        "Spanish",
        right=r"(?:correct[ao]|verdader[ao]|válid[ao])\b",
        wrong=r"(?:no\s+es\s+correct[ao]|incorrect[ao]|erróne[ao]|equivocad[ao]|fals[ao]|inválid[ao]|parcialmente\s+correct[ao])\b",
        judgement=r"(?:juicio|veredicto|dictamen)(?:\s+final)?",
        step=r"primer\s+(?:paso|línea)\s+(?:erróneo|incorrect[ao]|con\s+error)|primer\s+error",
        reason=r"análisis\s+del\s+error|motivo\s+del\s+error",
        subject=r"(?:solución|respuesta|razonamiento|código)",
        copula=r"(?:es|está)",
    ),
    Language(
        "Portuguese",
        right=r"(?:corret[ao]|cert[ao]|válid[ao])\b",
        wrong=r"(?:não\s+está\s+corret[ao]|incorret[ao]|errad[ao]|fals[ao]|inválid[ao]|parcialmente\s+corret[ao])\b",
        judgement=r"(?:julgamento|veredito)(?:\s+final)?",
        step=r"primeir[ao]\s+(?:passo|etapa|linha)\s+(?:errad[ao]|incorret[ao]|com\s+erro)|primeiro\s+erro",
        reason=r"análise\s+do\s+erro",
        subject=r"(?:solução|resposta|raciocínio|código)",
        copula=r"(?:é|está)",
    ),
    Language(
        "French",
        right=r"(?:correcte|juste|exacte|valide)\b",
        wrong=r"(?:pas\s+correcte?|incorrecte|fausse|faux|erronée?|inexacte|partiellement\s+correcte?)\b",
        judgement=r"jugement(?:\s+final)?|verdict\s+final",
        step=r"première\s+(?:étape|ligne)\s+(?:erronée|incorrecte|fausse)|première\s+erreur",
        reason=r"analyse\s+de\s+l['’]erreur",
        subject=r"(?:solution|réponse|démarche|code)",
        copula=r"(?:n['’])?est",
    ),
    Language(
        "German",
        right=r"(?:richtig|korrekt)\b",
        wrong=r"(?:nicht\s+(?:richtig|korrekt)|falsch|fehlerhaft|inkorrekt|teilweise\s+(?:richtig|korrekt))\b",
        judgement=r"(?:(?:end)?urteil|endgültiges\s+urteil|bewertung)",
        step=r"erster\s+(?:fehlerhafter|falscher)\s+schritt|erste\s+(?:fehlerhafte|falsche)\s+zeile|erster\s+fehler",
        reason=r"fehleranalyse",
        subject=r"(?:lösung|antwort|rechnung|code)",
        copula=r"ist",
    ),
    Language(
        "Italian",
        right=r"(?:corrett[ao]|giust[ao]|esatt[ao])\b",
        wrong=r"(?:non\s+è\s+corrett[ao]|non\s+corrett[ao]|errat[ao]|sbagliat[ao]|scorrett[ao]|fals[ao]|parzialmente\s+corrett[ao])\b",
        judgement=r"(?:giudizio|verdetto)(?:\s+finale)?",
        step=r"prim[ao]\s+(?:passaggio|passo|riga)\s+(?:errat[ao]|sbagliat[ao])|primo\s+errore",
        reason=r"analisi\s+dell['’]errore",
        subject=r"(?:soluzione|risposta|codice)",
        copula=r"è",
    ),
    Language(
        "Russian",
        right=r"(?:правильн|верн)(?:о|ое|ый|ая)\b",
        wrong=r"(?:не\s*правильн|не\s*верн|ошибочн)(?:о|ое|ый|ая)\b|не\s+является\s+(?:правильн|верн)ым",
        judgement=r"(?:окончательн(?:ое|ый)\s+|итогов(?:ое|ый)\s+)?(?:суждение|вердикт|оценка)",
        step=r"перв(?:ый|ая)\s+(?:ошибочн|неверн)(?:ый|ая)\s+(?:шаг|строка)|первая\s+ошибка",
        reason=r"анализ\s+ошибки|причина\s+ошибки",
        subject=r"(?:решение|ответ|код)",
        copula=r"(?:[-–—]|является)?",
    ),
)
LANGUAGES = (_CHINESE, _JAPANESE, _KOREAN, *_EUROPEAN)


def _any(part: Literal["right", "wrong", "judgement", "step", "reason"]) -> str:
    return "|".join(f"(?:{getattr(language, part)})" for language in LANGUAGES)


_SAID = rf"(?:(?P<wrong>{_any('wrong')})|(?P<right>{_any('right')}))"
#: A judgement in a label's value; group ``wrong`` or ``right``.
JUDGEMENT = re.compile(rf"(?<![A-Za-zÀ-ÿ]){_SAID}", re.IGNORECASE)
#: A text that is nothing but a judgement.
ALONE = re.compile(
    rf"[\s\W]{{0,9}}(?:(?:{_any('judgement')})\s{{0,3}}[:：]\s{{0,3}})?{_SAID}\s{{0,3}}[.!。！]?\s*", re.IGNORECASE
)
#: A label of the layout, as ``reviews._LABEL`` has them in English.
LABEL = re.compile(
    rf"(?<![^\W_])(?:(?P<judgement>{_any('judgement')})|(?P<step>{_any('step')})|(?P<reason>{_any('reason')}))"
    r"[\s*_`\"']{0,4}(?:[:：=|]|[-–—](?=\s))[ \t]{0,6}",
    re.IGNORECASE,
)
#: A sentence about the whole solution.
SENTENCE = re.compile(
    "|".join(
        rf"{one.subject}\s?{one.copula}\s{{0,3}}(?:(?P<wrong{at}>{one.wrong})|(?P<right{at}>{one.right}))(?!的?(?:答案|步骤|步驟))"
        for at, one in enumerate(LANGUAGES)
    ),
    re.IGNORECASE,
)
#: The step that a value names: "第3步", "paso 3", "3단계".
STEP = re.compile(
    r"[\s*_`\"'(\[#]*(?:(?:el|la|le|l['’]|im|in|nel|no|en|à|в)\s*)?"
    r"(?:(?:第|步骤|步驟|ステップ|paso|línea|passo|etapa|étape|ligne|schritt|zeile|passaggio|riga|шаг|строка)\s*)"
    r"(?:n[º°o]\.?\s*)?(?P<step>\d{1,3})(?!\d)|[\s*_]*(?P<before>\d{1,3})\s?(?:단계|번째|步|ステップ)",
    re.IGNORECASE,
)


# One of these stands in every label and sentence of the table that is spelled in ASCII, and in few English texts.
_HINTS: tuple[str, ...] = ("juicio", "dictamen", "veredi", "julgamento", "jugement", "verdict final", " est ", "'est ")
_HINTS += ("urteil", "bewertung", "richtig", "korrekt", "falsch", "fehler", "giudizio", "verdetto", "sbagliat", "esatt")
_HINTS += ("correcto", "correcta", "corret", "errat", "errad", "giust", "equivocad", "verdader", "primer ", "primo ")


def is_possible(text: str) -> bool:
    """Whether a text may hold a label or a sentence of the table: mostly not, which costs a few plain searches."""
    if not text.isascii():
        return True
    lowered = text.lower()
    return any(map(lowered.__contains__, _HINTS))


def judgement(match: re.Match[str]) -> Literal["correct", "wrong"]:
    """What a match of one of the patterns says."""
    said = match.groupdict()
    return "wrong" if any(text is not None for name, text in said.items() if name.startswith("wrong")) else "correct"
