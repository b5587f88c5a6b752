"""People and places under other names."""

from __future__ import annotations

import random
import re
from dataclasses import replace

from pytest_thinkslm.core.records import Case
from pytest_thinkslm.tasks.stress.text import is_plain

#: Given names by the pronouns that usually go with them. None of them is also a word, a month or a place.
PEOPLE = (
    tuple(
        """
    Alice Amanda Amy Andrea Angela Anna Anne Barbara Beth Betty Brenda Carla Carol Caroline Cindy Claire
    Courtney Cynthia Deborah Diana Donna Elena Elise Elizabeth Ella Ellen Emily Emma Erica Gina Hannah Helen
    Irene Isabella Jane Janet Jenna Jennifer Jenny Jessica Jill Joanna Julia Julie Karen Kate Katie Kelly
    Kim Kristen Laura Lauren Linda Lisa Lucy Maria Marie Martha Mary Megan Melanie Melissa Mia Michelle
    Molly Nancy Natalie Nicole Nina Olivia Pamela Rachel Rebecca Samantha Sandra Sara Sarah Sharon Shirley
    Sophia Stephanie Susan Tanya Tara Teresa Tina Valerie Vanessa Wendy
    """.split()
    ),
    tuple(
        """
    Aaron Adam Alan Albert Alexander Andrew Andy Anthony Arthur Ben Benjamin Bernie Bob Brad Brandon Brian
    Bruce Bryan Carl Charles Chris Christopher Daniel Dave David Dennis Derek Donald Edward Eric Ethan Felix
    Gary George Greg Gregory Harry Henry Howard Ian Jacob Jake James Jason Jeff Jeffrey Jerry Jim Joe John
    Johnny Jonathan Jose Joseph Joshua Justin Keith Ken Kenneth Kevin Kyle Larry Leo Liam Louis Luke Marcus
    Mario Martin Matt Matthew Michael Mike Nathan Neil Nicholas Noah Oliver Oscar Patrick Paul Peter Philip
    Ralph Raymond Richard Robert Roger Ron Ronald Ryan Sam Samuel Scott Sean Simon Stephen Steve Steven Ted
    Thomas Tim Timothy Toby Tom Tommy Tony Troy Victor Vincent Walter William Zachary
    """.split()
    ),
)
PLACES = tuple(
    """
    Amsterdam Athens Atlanta Barcelona Berlin Boston Brussels Budapest Chicago Copenhagen Dallas Denver
    Dublin Hamburg Helsinki Houston Lisbon London Madrid Melbourne Miami Milan Montreal Munich Oslo Paris
    Prague Rome Seattle Stockholm Sydney Toronto Vancouver Vienna Warsaw Zurich
    """.split()
)
_CLASSES = (*PEOPLE, PLACES)
_KNOWN = {name: number for number, names in enumerate(_CLASSES) for name in names}
_NAME = re.compile(r"\b(" + "|".join(sorted(_KNOWN, key=len, reverse=True)) + r")\b")
# "Paris time", "Boston marathon", "Chicago Bulls", "St. Thomas", "John Smith": more than a name.
_TITLE = re.compile(r"\b(?:St\.|Saint|King|Queen|President|New|San|Los|Fort|Lake|Mount|University of)\s+\Z")
_OF_A_NAME = re.compile(r"[A-Z]\w*\s+\Z")
_FOLLOWED = re.compile(r"\s+(?!(?:I|A)\b)[A-Z]\w+|\s+(?:time|marathon|street|bridge|tower)\b|-")


def exchange(case: Case, rng: random.Random) -> Case | None:
    """Each known name becomes another of its class, the same one throughout. None: there is none that can safely."""
    texts = (case.context, case.question)
    if not all(is_plain(text) for text in texts):
        return None
    whole = "\n".join(texts)
    found = list(dict.fromkeys(match[1] for match in _NAME.finditer(whole)))
    able = [name for name in found if not _is_part(name, whole)]
    if not able:
        return None
    taken = {word.lower() for word in re.findall(r"[A-Za-z]+", whole)}
    mapping: dict[str, str] = {}
    for name in able:
        new = rng.choice([other for other in _CLASSES[_KNOWN[name]] if other.lower() not in taken])
        mapping[name] = new
        taken.add(new.lower())
    swap = re.compile(r"\b(" + "|".join(map(re.escape, sorted(mapping, key=len, reverse=True))) + r")\b")
    changed = [swap.sub(lambda match: mapping[match[1]], text) for text in texts]
    return replace(case, context=changed[0], question=changed[1])


def _is_part(name: str, text: str) -> bool:
    """Whether a name stands anywhere as a part of a longer one (a last name, a team, a street)."""
    for match in re.finditer(rf"\b{name}\b", text):
        before = text[max(0, match.start() - 24) : match.start()]
        inner = not re.search(r"(?:\A|[.!?,;:\n]\s*)(?:[A-Z]\w*\s+)?\Z", before)
        if _FOLLOWED.match(text, match.end()) or _TITLE.search(before) or (inner and _OF_A_NAME.search(before)):
            return True
    return False
