"""Reading the chosen option: one named test a trap, tables of phrasings, hostile text."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import CALLS_A_CHARACTER, calls, ends_a_hang

from pytest_thinkslm.core.records import Output
from pytest_thinkslm.scoring.answers import choice_statements, phrases
from pytest_thinkslm.scoring.answers.anchors import lower
from pytest_thinkslm.scoring.answers.choices import read_choice
from pytest_thinkslm.scoring.answers.region import Region, final_region

CITIES = ("London", "Paris", "Rome", "Berlin")
PHRASINGS = Path(__file__).parents[3] / "fixtures" / "labels" / "phrasings.jsonl"
OPTION_SETS = (
    CITIES,
    ("a drum", "the harp", "an oboe"),
    ("It floats.", "It sinks slowly.", "It sinks.", "It dissolves in the water and is gone.", "None of these happens."),
    ("24", "3", "5", "10", "12"),
    ("4", "3", "2", "1"),
    ("1.5 times", "2 times", "2.5 times", "15 times"),
    ("new", "new york", "york", "old new york city"),
    ("vitamin C", "vitamin A", "vitamin D", "B vitamins"),
    ("is not alive", "is alive", "was incorrect", "cannot be told"),
    ("$5", "$15", "50%", "0.5"),
    ("he picks up the ball and throws it.", "he picks up the ball", "a dog, then a cat, runs off", "she says no"),
)


def chosen(text: str, options: tuple[str, ...] = CITIES, *, cut: bool = False) -> object:
    return read_choice(Region(text, cut=cut), options).value


def test_the_article_a_is_no_letter() -> None:
    assert chosen("The answer is a combination of both ideas, so the best option is C.") == "C"
    assert chosen("A city in the south of the country.") is None
    assert chosen("A child that does not inherit it has no such parents.") is None
    assert chosen("The answer is A city, as everyone knows.") is None
    assert chosen("Answer: A") == "A"


@pytest.mark.parametrize(
    "text",
    [
        *("The answer is (2)", "Paris", "B. Paris", "B) because it is the capital", "**B**", "`B`", "Option B", "B"),
        *(r"\boxed{B}", r"\boxed{\text{B}}", r"$\boxed{\text{(B)}}$", 'The answer is "Paris".', "(B)", "[B]", "'B'"),
        *("2", "(2)", "The correct answer is option 2.", "Final answer: **B) Paris**", "Answer:\nB", "### Answer\nB"),
        *("So B is the correct answer.", "Therefore, B.", "B is correct.", "The answer is:\n\n**B. Paris**"),
        *("I would choose Paris because of the river.", "The second one, B, is correct.", "<answer>B</answer>"),
        *("It is Paris, the capital of France.", "Answer - B", "The correct letter is B.", "answer: b"),
    ],
)
def test_options_by_letter_number_or_text(text: str) -> None:
    assert chosen(text) == "B"


@pytest.mark.parametrize(
    "text",
    [
        *("A or B", "The answer is A or B.", "A and B", "both A and C", "The answer is both A and C.", "Answer: A/B"),
        *("Answer: A, B", "The answer is either Paris or Rome.", r"\boxed{A, B}", "Both A and C are correct."),
        *("A.\nB.\nC.", "A.\n\nA.\n\nB.\n\nA.", "C\nD"),
        *("Answer: A,B", "The answer is A,C", "Answer: B C", "ANSWER: A B C D are all plausible", "Answer: A, B, or D"),
        *("The answer is (B) Paris or (D) Berlin.", "Answer: (B) Paris (D) Berlin", "Answer: (C) Rome, (D) Berlin."),
        "So the answer is (B) Paris and (C) Rome.",
    ],
)
def test_two_options_offered_are_no_answer(text: str) -> None:
    answer = read_choice(Region(text), CITIES)
    assert (answer.value, answer.rule) == (None, "several")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A. iodine\nThe correct answer is D.", "D"),
        ("The correct answer is C. The answer is not D.", "C"),
        ("A is tempting, but it misses a detail. The best choice is D.", "D"),
        ("Neither A nor B is correct; the answer is C.", "C"),
        ("The answer is B. Wait, no. The answer is C.", "C"),
        ("It cannot be A, B, or C, so the answer must be D.", "D"),
        ("Answer: B\n\nExplanation: C and the rest are wrong.", "B"),
        ("Answer: B, A is wrong.", "B"),
        ("Answer: (C) Rome. (A) London needs a boat.", "C"),
        ("The answer is B (Paris), and (A) London is wrong.", "B"),
        ("Answer: B\nC is the runner-up.", "B"),
        ("The answer is **B**, not **A**.", "B"),
        ("Option A is wrong. Option B is incorrect. Option D is wrong. Option C is right.", "C"),
    ],
)
def test_the_last_anchored_statement_wins(text: str, letter: str) -> None:
    assert chosen(text) == letter


@pytest.mark.parametrize(
    "text",
    [
        "D. Berlin is incorrect.",
        "The answer is not D.",
        "The answer isn't B.",
        "I don't think the answer is B.",
        "It is not Paris.",
        "The answer is not really Paris.",
        "The answer is definitely not (D), whatever one says.",
    ],
)
def test_an_option_named_only_to_deny_it_is_no_answer(text: str) -> None:
    assert chosen(text) is None


def test_a_denial_ends_what_an_anchor_names() -> None:
    # Cut, so that no later rule looks for an option.
    assert chosen("The answer is none of them, Paris included.\n\nSo", cut=True) is None
    assert chosen("The answer is not one that lies by the sea, so (C) is out.\n\nSo", cut=True) is None


def test_a_recited_list_is_no_choice() -> None:
    recited = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", CITIES, strict=True))
    assert read_choice(Region(recited), CITIES).rule == "recited"
    assert read_choice(Region("\n".join(recited.splitlines()[:3])), CITIES).rule == "recited"
    assert read_choice(Region("\n".join(recited.splitlines()[1:])), CITIES).rule == "several"
    assert chosen(f"Answer:\n\n{recited}") is None
    assert chosen(f"{recited}\n\nB") == "B"
    assert chosen(f"{recited}\n\nB. Paris") == "B"


def test_a_reason_for_denying_an_option_may_name_it() -> None:
    assert chosen("B. is incorrect, because nobody lives in Paris for free.") is None
    assert chosen("B. is incorrect, because it rains.\nRome it is.") == "C"


@pytest.mark.parametrize("text", ["It does 20 km/h.", "It does 20 km / h", "It does 20 km/h"])
def test_blanks_beside_marks_do_not_tell_option_texts_apart(text: str) -> None:
    assert chosen(text, ("10 km / h", "20 km / h", "40 km / h")) == "B"
    assert chosen("So it is 3/4.", ("1 / 4", "3 / 4", "1 / 2")) == "B"
    assert chosen("So it is a part time job.", ("parttime job", "part time job", "no job")) == "B"


def test_a_negation_may_belong_to_the_text_of_an_option() -> None:
    options = ("is nutritionally self sustaining", "will die faster", "needs help", "is reliant")
    assert chosen("A. is not self sustaining", options) == "A"
    assert chosen("A. is not correct", options) is None
    assert chosen("A is not self sustaining.", options) is None


def test_an_answer_that_names_no_option_is_a_wrong_format() -> None:
    for text in ("Answer: F", "Answer: X", "Answer: None of the above"):
        assert read_choice(Region(text), CITIES).rule == "wrong-format"
    assert read_choice(Region("I do not know."), CITIES).rule == "none"


def test_letter_against_text_is_the_letter() -> None:
    assert chosen("A. Paris") == "A"
    assert chosen("The answer is Paris (C).") == "C"


def test_letters_outside_the_set_never_count() -> None:
    assert chosen("The answer is E.") is None
    assert chosen("E") is None
    assert chosen("The answer is E.", (*CITIES, "Madrid")) == "E"


def test_the_copied_placeholder_is_no_answer() -> None:
    for text in ("Answer: X", r"The answer is \boxed{answer}.", "Answer: [letter]", "Answer: <letter>"):
        assert chosen(text) is None


def test_numbers_name_positions_only_where_no_option_is_a_number() -> None:
    digits = ("4", "3", "2", "1")
    assert chosen("The answer is 1.", digits) == "D"
    assert chosen("The answer is 2 hours or more away.") is None


def test_equal_options_are_not_told_apart_by_text() -> None:
    assert chosen("The answer is six.", ("six", "six", "seven")) is None
    assert chosen("The answer is seven.", ("six", "six", "seven")) == "C"


@pytest.mark.parametrize(
    ("text", "letter"),
    [("Answer: B\n", "B"), ("Answer: B. Paris is", "B"), (r"So \boxed{B}", "B"), ("The answer is B because", "B")],
)
def test_a_complete_anchored_answer_counts_under_a_cut(text: str, letter: str) -> None:
    assert chosen(text, cut=True) == letter


@pytest.mark.parametrize(
    "text", ["Answer: B", r"So \boxed{B", "A. London\nB. Paris", "The answer is Paris", "B. Paris"]
)
def test_an_open_or_unanchored_answer_does_not_count_under_a_cut(text: str) -> None:
    answer = read_choice(Region(text, cut=True), CITIES)
    assert (answer.value, answer.rule) == (None, "cut")


def test_an_unfinished_thought_is_no_answer() -> None:
    assert read_choice(final_region(Output("<think>Answer: B")), CITIES).rule == "unfinished-thought"
    assert read_choice(final_region(Output("<think>Answer: B</think>Answer: C")), CITIES).value == "C"


@pytest.mark.parametrize("options", OPTION_SETS, ids=lambda options: options[0])
def test_phrasings_read_as_filled_in(options: tuple[str, ...]) -> None:
    random_letters = random.Random(0)
    letters = "ABCDEFGH"[: len(options)]
    templates = [json.loads(line) for line in PHRASINGS.read_text().splitlines()]
    templates = [entry["template"] for entry in templates if entry["kind"] == "choice"]
    assert len(templates) > 10
    for template in templates:
        for letter, option in zip(letters, options, strict=True):
            other = random_letters.choice(letters.replace(letter, ""))
            text = template.format(L=letter, l=letter.lower(), t=option, W=other)
            assert read_choice(final_region(Output(text)), options).value == letter, text


PIECES = st.sampled_from(
    [
        *(
            "The answer is ",
            "A",
            "B",
            " or ",
            "Answer:",
            "\n",
            "\\boxed{",
            "}",
            "**",
            "(",
            ")",
            "not ",
            "is correct",
            "Paris",
        ),
        *("\x00", "\ud800", "\u202e", "a", ".", " ", "İ", "ſ", "'", "option ", "I think it is "),
    ]
)


#: What anchors are made of, and what almost makes one.
ANCHOR_WORDS = (
    "I we You one would will should must can am going to 'd 'll therefore Thus have Choose chose pick select say "
    "answer guess go with opt for vote settle on think believe so Hence that it is it's are was were be has seems "
    "appears the a an both all most clearly correct right best appropriate proper likely option choice choices "
    "Options selection statement letter ending answers ans correction reflection second thought Actually no wait "
    "rather , : = A B . n't answer_letter option_ because <answer> #### \\boxed{"
).split()


@given(
    st.lists(PIECES, max_size=40).map("".join)
    | st.lists(st.sampled_from(ANCHOR_WORDS), max_size=12).map(" ".join)
    | st.lists(st.sampled_from(["", " ", "\n", *ANCHOR_WORDS]), max_size=12).map("".join)
)
def test_every_anchor_begins_where_anchors_are_looked_for(text: str) -> None:
    found = [anchor.span() for anchor in choice_statements._anchors(text, lower(text), 0)]
    assert found == [anchor.span() for anchor in choice_statements._ANCHOR.finditer(text)]


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200), st.booleans())
def test_no_text_raises(text: str, cut: bool) -> None:
    for options in (CITIES, (), ("", "a"), ("\ud800", "İ", "ſ.")):
        answer = read_choice(Region(text, cut=cut), options)
        assert answer.value is None or str(answer.value) in "ABCD"[: len(options)]


HOSTILE = (
    "{",
    "answer is ",
    "A.\n",
    "A or ",
    "Paris ",
    "B is ",
    "\\boxed{",
    "(A) ",
    " ",
    "\n",
    "\x00",
    "\ud800",
    "1",
    "is correct ",
)


@ends_a_hang
@pytest.mark.parametrize("piece", HOSTILE, ids=repr)
def test_linear_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    assert calls(lambda: read_choice(Region(text), CITIES)) <= CALLS_A_CHARACTER * len(text)


#: How a letter is stated: by an anchor, weakly, in other languages.
STRONG = (
    *("Answer: {}", "The answer is {}.", "**Answer:** {}", "_Answer:_ {}", "<b>Answer:</b> {}"),
    *("The answer is {{\\bf {}}}.", "\\boxed{{{}}}", "\\boxed{{\\;{}\\;}}", "$\\boxed{{\\textsf{{{}}}}}$"),
    *("\\boxed{{\\color{{red}} {}}}", "<answer>{}</answer>", '{{"answer": "{}"}}', "{{'answer': '{}'}}"),
    *('{{"final_answer": "{}", "confidence": 0.9}}', '{{"correct_option": "{}"}}', 'Action: Answer("{}")'),
    *(
        "Answer({})",
        'submit_answer(choice="{}")',
        'answer = "{}"',
        "The answer is for sure {}.",
        "Answer: \uff08{}\uff09",
    ),
)
WEAK = (
    *("It's {}.", "It is {}, of course.", "That leaves {}.", "Only {} remains.", "So only {} works."),
    *("By elimination, {}.", "{} works best.", "{} seems right.", "Option {} makes the most sense."),
    *("Ending {} fits best.", "Final: {}", "I think {}.", "It is hard.\n\n{}", "It is hard.\n**{}**"),
)
CHINESE = (
    *("答案是{}。", "答案：{}", "正确答案是 **{}**。", "因此，应选择{}选项。"),
    *("故选{}", "【答案】{}", "最终答案：（{}）", "只有选项{}是对的。"),
)
ELSEWHERE = (
    *("정답: {}", "따라서 정답은 {}입니다.", "답은 {}번이다.", "{}가 정답입니다."),
    *("答えは{}です。", "正解：{}", "「{}」が正しい。"),
    *("La respuesta correcta es la {}.", "Respuesta: {}", "La opción {} es correcta.", "Resposta: {}"),
    *("A resposta correta é a letra {}.", "La bonne réponse est donc {}.", "Réponse : {}", "Antwort: {}"),
    *("{} est la bonne réponse.", "La risposta corretta è {}.", "Die richtige Antwort ist {}.", "Ответ: {}"),
    *("Die Antwort lautet {}.", "Richtig ist Antwort {}.", "{} ist richtig.", "Правильный ответ: {}."),
    "{} — правильный ответ.",
)
STATEMENTS = STRONG + WEAK + CHINESE + ELSEWHERE
LOWER_CASE = (
    *(
        "{}",
        "({})",
        "**{}**",
        "{}.",
        "{})",
        "\\boxed{{{}}}",
        "\\boxed{{\\text{{{}}}}}",
        "The answer is {}",
        "The correct answer is {}.",
    ),
    *(
        "The answer is ({}).",
        "answer: {}",
        "Answer: {})",
        '{{"answer": "{}"}}',
        "<answer>{}</answer>",
        'Answer("{}")',
        "答案是{}",
    ),
)
DENIALS = (
    *(
        "The answer is not {}.",
        "It is not {}.",
        "答案不是{}。",
        "不选{}",
        "정답은 {}가 아닙니다.",
        "答えは{}ではない。",
    ),
    *(
        "La respuesta no es {}.",
        "La réponse n'est pas {}.",
        "Die Antwort ist nicht {}.",
        "Ответ не {}.",
        "La risposta non è {}.",
    ),
)
LETTERS = st.sampled_from("ABCD")


@given(st.sampled_from(STATEMENTS), LETTERS)
def test_a_statement_in_any_manner_and_language_is_read(statement: str, letter: str) -> None:
    assert chosen(statement.format(letter)) == letter


@given(st.sampled_from(LOWER_CASE), LETTERS)
def test_lower_case_counts_where_only_a_letter_can_stand(statement: str, letter: str) -> None:
    assert chosen(statement.format(letter.lower())) == letter
    assert chosen(statement.format(letter.lower()), ("one", "two")) == (letter if letter in "AB" else None)


@given(st.sampled_from(DENIALS), LETTERS)
def test_a_denial_in_any_language_names_nothing(denial: str, letter: str) -> None:
    assert chosen(denial.format(letter)) is None


@given(st.sampled_from(STATEMENTS), st.sampled_from(STRONG), LETTERS, LETTERS)
def test_the_last_of_two_statements_wins(first: str, second: str, one: str, two: str) -> None:
    if second.startswith(("\\boxed", "$\\boxed")) and first.startswith(("\\boxed", "$\\boxed")):
        return  # boxes that stand together are one statement
    assert chosen(f"{first.format(one)}\nNo, that is not it.\n{second.format(two)}") == two


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A: (C) Rome", "C"),
        ("Q: Where?\nA: C", "C"),
        ("A: London\nB: Paris", None),
        ("A: C. Rome\nB: D. Berlin", None),
        ("- **A. London** ❌\n- **B. Paris** – the capital ✅\n- **C. Rome** ❌\n- **D. Berlin** ❌", "B"),
        ("A) London ✗\nB) Paris ✓\nC) Rome\nD) Berlin", "B"),
        ("A. London\nB. Paris - correct.\nC. Rome\nD. Berlin", "B"),
        ("He lives in Washington D.C. (B). Washington D.C. is a town.", "B"),
        ("The answer is C at first glance.\nBut no.\n\nA", "A"),
        ("Only B is wrong.\nWho knows?", None),
        ("If it is B, who knows?", None),
        ('{"option": "A", "text": "x"}, {"option": "B", "text": "y"}', None),
        ("The answer is B. Note: if it were colder, the answer would be C.", "B"),
        ("Option A (London) is right, whereas B (Paris) and C (Rome) are wrong.", "A"),
        ("Option 3", "C"),
        ("b) Paris", "B"),
        ("Ответ: С", "C"),
        ("Answer: (A)(D)", None),
        ("Answer: A or maybe D", None),
        ("It could be A, B, C or D.", None),
        ("答案为 B、C", None),
        ("La respuesta es B o C", None),
        ("Die Antwort ist B und C", None),
        ('{"answer": ["A", "B"]}', None),
        ("First, A is out. Then C is eliminated. D is out too.", None),
        ("D. Option D is the only wrong one.", None),
        ("The answer is not A but B.", "B"),
        ("My first answer was A. On reflection: B.", "B"),
        ("The answer is A. No wait, B.", "B"),
        ("Answer: A\n\nCorrection: B", "B"),
        ("Ans: B", "B"),
        ("The answer is Also B", None),
        ("B it is.", "B"),
        ("I vote B", "B"),
        ("A错误；B正确；C错误；D错误。", "B"),
        ("B) Paris\n\nExplanation:\nA) too wet\nC) too hot\nD) too cold", "B"),
    ],
)
def test_layouts(text: str, letter: str | None) -> None:
    assert chosen(text) == letter


@pytest.mark.parametrize("lead", ["The river", "river", "So I say the river", "**River**"])
def test_an_option_that_is_called_the_answer_is_a_statement(lead: str) -> None:
    answer = read_choice(Region(f"{lead} is the correct answer.", cut=False), ("lake", "river"))
    assert (answer.value, answer.rule) == ("B", "anchor")


def test_are_is_of_one_text_or_several_letters() -> None:
    assert chosen("Rivers are the correct answer.", ("lakes", "rivers")) == "B"
    assert chosen("B, A are both correct.", ("lakes", "rivers")) is None


def test_the_result_of_an_equation_is_the_option() -> None:
    assert chosen("12 + 12 = 24", ("12", "15", "24")) == "C"
    assert chosen("12 or 24", ("12", "15", "24")) is None


def test_options_that_end_in_a_word_of_praise_are_not_affirmed_by_it() -> None:
    assert chosen("A. turn left\nB. turn right", ("turn left", "turn right")) is None


@pytest.mark.parametrize(
    "text", [r"$\boxed{A}$ or $\boxed{D}$", r"\boxed{A}, \boxed{B}", r"\boxed{A} \text{ and } \boxed{B}", "B or c"]
)
def test_boxes_that_stand_together_are_one_statement(text: str) -> None:
    assert chosen(text) is None


def test_every_language_has_hints_for_its_statements() -> None:
    for language in phrases.LANGUAGES:
        assert all(hint == hint.lower() for hint in language.hints), language.name
        assert language in phrases.spoken(language.hints[0])


FRAMES = (
    "Answer: {}",
    "The answer is {}.",
    "**Answer:** {}",
    "\\boxed{{{}}}",
    "{} are both correct.",
    '{{"answer": "{}"}}',
)
JOINERS = (
    " or ",
    " and ",
    ", ",
    ",",
    " & ",
    "/",
    "; ",
    " or maybe ",
    " oder ",
    " y ",
    " ou ",
    " и ",
    "和",
    "、",
    " 또는 ",
)
NAMINGS = (
    "{letter}",
    "({letter})",
    "{letter} ({text})",
    "({letter}) {text}",
    "{letter}. {text}",
    "option {letter}",
    "**{letter}**",
)


@given(
    st.sampled_from(FRAMES), st.sampled_from(JOINERS), st.sampled_from(NAMINGS), st.permutations("ABCD"), st.booleans()
)
def test_several_options_offered_in_any_form_are_no_answer(
    frame: str, joiner: str, naming: str, letters: list[str], three: bool
) -> None:
    texts = dict(zip("ABCD", CITIES, strict=True))
    offered = [naming.format(letter=letter, text=texts[letter]) for letter in letters[: 3 if three else 2]]
    text = frame.format(joiner.join(offered))
    assert chosen(text) is None, text


@given(st.sampled_from(FRAMES[:4]), st.sampled_from(NAMINGS), st.permutations("ABCD"))
def test_an_option_denied_behind_the_answer_changes_nothing(frame: str, naming: str, letters: list[str]) -> None:
    texts = dict(zip("ABCD", CITIES, strict=True))
    one, other = (naming.format(letter=letter, text=texts[letter]) for letter in letters[:2])
    for tail in (
        f" Option {letters[1]} is wrong.",
        f"\n\n{other} is wrong, since it rains there.",
        f" It is not {other}.",
    ):
        text = frame.format(one).removesuffix(".") + "." + tail
        assert chosen(text) == letters[0], text


@pytest.mark.parametrize(
    ("text", "cut", "letter", "rule"),
    [
        ("x\nAnswer: D", False, "D", "anchor"),
        ("x\nAnswer: E", False, None, "wrong-format"),
        ("x\nAnswer: C", True, None, "cut"),
        ("I think\nB", True, None, "cut"),
        ("A. Paris is nice\nB\nC", False, "C", "bare"),
        ("A. Paris ✓\nB. London\nC. Rome", False, "A", "lettered-line"),
        ("A. Paris ✓\nB. London ✓\nC. Rome", False, None, "recited"),
        ("C. Rome\nA. Paris\nB. London\nD. Oslo", False, "C", "lettered-line"),
        ("C. Rome\nB. London\nA. Paris\nD. Oslo", False, None, "recited"),
        ("A. Paris\nC. Rome\nB. London\nD. Oslo", False, None, "recited"),
        ("C. Rome\nB. London", False, None, "several"),
        ("See (A) or maybe (B)?", False, None, "several"),
        ("She went to Paris. She went to Oslo.", False, None, "several"),
        ("b) London", False, "B", "bare"),
        ("c) London", False, "B", "option-text"),
    ],
)
def test_which_of_several_letters_is_the_choice(text: str, cut: bool, letter: str | None, rule: str) -> None:
    said = read_choice(Region(text, cut=cut), ("Paris", "London", "Rome", "Oslo"))
    assert (said.value, said.rule) == (letter, rule)


def test_a_letter_alone_below_an_empty_line_is_the_whole_reply() -> None:
    assert read_choice(Region("\nB"), CITIES).detail == "B"


def test_a_weak_statement_is_kept_as_it_was_said() -> None:
    assert read_choice(Region("Well, I looked at it. It's B."), CITIES).detail.endswith("It's B.")


@pytest.mark.parametrize(
    "text",
    [
        "Rome is older.\nThe correct answer\nis B",
        "Rome is older.\n\nThe correct answer\n\nis\nB\n\n",
        "The answer is B.\n\n" + "\n".join(f"Remark {number} is of no weight." for number in range(12)),
        "The answer is\nB\n" + "and so on\n" * 12,
        "The answer is A.\nNo wait!\nThe answer is B.\nThat is all there is to it.",
    ],
)
def test_a_statement_is_found_wherever_its_lines_are_broken(text: str) -> None:
    assert chosen(text) == "B"
