"""Records become cases: the oddities of each data set, on self-written records."""

import pytest

from pytest_thinkslm.core.records import UNANSWERABLE, Case, Review
from pytest_thinkslm.tasks.gsm8k import worked_solution
from pytest_thinkslm.tasks.hellaswag import clean
from pytest_thinkslm.tasks.hendrycks_math import last_box
from pytest_thinkslm.tasks.mathqa import split_options
from pytest_thinkslm.tasks.mr_gsm import question_cluster
from pytest_thinkslm.tasks.pins import record_hash
from pytest_thinkslm.tasks.registry import get
from pytest_thinkslm.tasks.reviews import judgement, step_or_none, text_or_none, texts


def build(key: str, **record: object) -> Case:
    task = get(key)
    assert task.build is not None
    return task.build(record, 0)


def choices(labels: str, *options: str) -> dict[str, list[str]]:
    return {"label": list(labels), "text": list(options)}


# ARC, CommonsenseQA, OpenBookQA


def test_arc_keys_1_to_4_become_letters_by_position():
    case = build("arc_easy", id="x", question="Q?", choices=choices("1234", "a", "b", "c", "d"), answerKey="3")
    assert (case.gold, case.letters) == ("C", "ABCD")


@pytest.mark.parametrize("labels", ["ABC", "123", "ABCDE"])
def test_arc_items_of_three_and_five_options(labels):
    options = [f"option {label}" for label in labels]
    case = build("arc_challenge", id="x", question="Q?", choices=choices(labels, *options), answerKey=labels[-1])
    assert case.letters == "ABCDE"[: len(labels)]
    assert case.gold == case.letters[-1]


def test_openbookqa_answer_key_can_carry_blanks():
    case = build("openbookqa", id="x", question_stem="S", choices=choices("ABCD", *"wxyz"), answerKey=" D \n")
    assert case.gold == "D"


def test_commonsenseqa_is_the_validation_split_since_test_labels_are_hidden():
    source = get("commonsenseqa").source
    assert source is not None
    assert source.split == "validation"
    with pytest.raises(ValueError, match="labels are hidden"):
        build("commonsenseqa", id="x", question="Q?", choices=choices("AB", "x", "y"), answerKey="")


def test_answer_key_outside_the_labels_is_an_error():
    with pytest.raises(ValueError, match="none of the labels"):
        build("arc_easy", id="x", question="Q?", choices=choices("ABCD", *"wxyz"), answerKey="E")


# MathQA


@pytest.mark.parametrize(
    ("packed", "options"),
    [
        ("a ) 38 , b ) 27.675 , c ) 30 , d ) no , e ) none of these", ("38", "27.675", "30", "no", "none of these")),
        ("a ) 1 , 000 , b ) 100 , c ) 1 , 000 , 000 , d ) 10 , e ) 7", ("1 , 000", "100", "1 , 000 , 000", "10", "7")),
        ("a ) a ) 24 , b ) b ) 25 , c ) c ) 26 , d ) d ) 27 , e ) e ) 28", ("24", "25", "26", "27", "28")),
        ("['a ) 12', 'b ) 15', 'c ) 10', 'd ) 8', 'e ) 14']", ("12", "15", "10", "8", "14")),
        ("['a ) a ) 4 in', 'b ) b ) 6 in', 'c ) c ) 5', 'd ) d ) 8', 'e ) e ) 1']", ("4 in", "6 in", "5", "8", "1")),
        ("a ) f ( b ) = 1 , b ) 2 , c ) 3 , d ) 4 , e ) 5", ("f ( b ) = 1", "2", "3", "4", "5")),
        ("a)1,b)2,c)3,d)4,e)5", ("1", "2", "3", "4", "5")),
    ],
)
def test_mathqa_options_commas_inside_doubled_markers_printed_lists(packed, options):
    assert split_options(packed) == options


@pytest.mark.parametrize(
    "packed",
    ["", "1 , 2 , 3 , 4 , 5", "a ) 1 , b ) 2 , c ) 3 , d ) 4", "a ) , b ) 2 , c ) 3 , d ) 4 , e ) 5", "[a ) 1"],
)
def test_mathqa_rejects_are_still_asked_with_the_raw_options(packed):
    assert split_options(packed) is None
    case = build("mathqa", Problem="how many ?", options=packed, correct="c")
    assert (case.gold, case.letters) == ("C", "ABCDE")
    assert packed in case.question
    assert "could not be split" in case.note


# HellaSwag


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("[header] How to wash [title] Fill it [step] Turn it on.", "How to wash. Fill it. Turn it on."),
        ("[substeps] Pour slowly.", "Pour slowly."),
        ("Do it. [title] Next , [step] stop", "Do it. Next , stop"),
        ("a [bracket] stays", "a [bracket] stays"),
        ("", ""),
    ],
)
def test_hellaswag_wikihow_marks_are_cleaned(raw, cleaned):
    assert clean(raw) == cleaned


def hellaswag(**changes: object) -> Case:
    record = {"ind": 1, "ctx_a": "A man sits.", "ctx_b": "he", "endings": list("wxyz"), "label": "2", "source_id": "v1"}
    return build("hellaswag", **{**record, **changes})


def test_hellaswag_ctx_b_is_capitalised_and_ind_is_no_key():
    case = hellaswag()
    assert case.question == "A man sits. He"
    assert (case.gold, case.cluster, case.source_id) == ("C", "v1", "")
    assert record_hash(case) == record_hash(hellaswag(ind=2))


@pytest.mark.parametrize("label", ["", "4", "-1"])
def test_hellaswag_hidden_labels_are_an_error(label):
    with pytest.raises(ValueError, match="label"):
        hellaswag(label=label)


# GSM8K, MATH, GSM-Plus


def test_gold_and_prediction_share_one_grammar_so_gold_keeps_no_commas():
    assert build("gsm8k", question="Q?", answer="1,000 + 1,125\n#### 2,125").gold == "2125"
    assert build("gsm8k", question="Q?", answer="#### 5 first, then\n#### -10").gold == "-10"


def test_gsm8k_worked_solution_has_no_annotations_and_no_final_line():
    assert worked_solution({"answer": "48/2 = <<48/2=24>>24 clips.\n#### 24"}) == "48/2 = 24 clips."


@pytest.mark.parametrize(
    ("solution", "gold"),
    [
        (r"so \boxed{4}, no: \boxed{3}.", "3"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"It is $\boxed 5$.", "5"),
        (r"\boxed{3} and an unclosed \boxed{4", "3"),
    ],
)
def test_math_gold_is_the_last_balanced_box(solution, gold):
    assert last_box(solution) == gold


def test_math_without_a_box_is_an_error():
    with pytest.raises(ValueError, match="boxed"):
        last_box(r"an unclosed \boxed{4")


def gsm_plus(**changes: object) -> Case:
    record = {
        "question": "How many?",
        "answer": "3",
        "perturbation_type": "adding operation",
        "seed_question": "A made-up question?",
        "seed_answer": "2,000",
    }
    return build("gsm_plus", **{**record, **changes})


def test_gsm_plus_gold_none_means_unanswerable():
    assert gsm_plus(answer="None", perturbation_type="critical thinking").gold == UNANSWERABLE
    assert gsm_plus(answer=None).gold == UNANSWERABLE
    assert gsm_plus(answer="1/2").gold == "1/2"


def test_gsm_plus_facets_do_not_tell_the_gold():
    answerable, unanswerable = gsm_plus(), gsm_plus(answer="None")
    assert (
        answerable.facets == unanswerable.facets == {"perturbation": "adding operation", "unanswerable_possible": "yes"}
    )


def test_gsm_plus_seed_outside_gsm8k_is_not_asked_and_said_so():
    case = gsm_plus()
    assert case.auxiliary == ()
    assert case.cluster.startswith("seed-")
    assert case.note


# Reviews


@pytest.mark.parametrize(("label", "read"), [("correct", "correct"), ("incorrect", "wrong"), ("Wrong ", "wrong")])
def test_incorrect_is_not_correct(label, read):
    assert judgement(label) == read


def test_a_label_that_only_contains_correct_is_an_error():
    with pytest.raises(ValueError, match="none of"):
        judgement("not correct")


@pytest.mark.parametrize(("value", "read"), [(None, None), ("N/A", None), (3, "3"), ("3.0", "3"), (3.0, "3"), ("", "")])
def test_first_error_step_of_every_source(value, read):
    assert step_or_none(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (["a", "b"], ["a", "b"]),
        ("['Step 1: it\\'s', \"Step 2: b\"]", ["Step 1: it's", "Step 2: b"]),
        ("one\ntwo", ["one", "two"]),
        ("[unclosed", ["[unclosed"]),
    ],
)
def test_steps_arrive_as_list_printed_list_or_lines(value, read):
    assert texts(value) == read


def test_texts_of_another_type_are_an_error():
    with pytest.raises(TypeError):
        texts(3)
    assert text_or_none(["a \n", "b"]) == "a b"


@pytest.mark.parametrize(
    "variant",
    [
        "Ada buys 3 red apples and x green ones. How many has she? If we know the answer to the above question is 9, "
        "what is the value of unknown variable 'x'?",
        "Ada buys x red apples and 6 green ones. She has 9. What is the value of unknown variable x?",
        "Ada buys three red apples and twice as many green ones. How many has she?",
    ],
)
def test_mr_gsm_variants_share_the_cluster_of_their_question(variant):
    assert question_cluster(variant) == question_cluster("Ada buys 3 red apples and 6 green ones. How many has she?")
    assert question_cluster(variant) != question_cluster("Ben sells 3 red apples and 6 green ones. How many has he?")


def mr_ben(**changes: object) -> Case:
    record = {
        "Question_UUID": "q",
        "Subject": "college_math",
        "Question": "Q?",
        "Options": "A: 1 \nB: 2 ",
        "Model_Solution_Steps": ["Step 1: a", "Solution: Choice_A"],
        "Model_Solution_Correctness": "incorrect",
        "Model_Solution_First_Error_Step": "1",
        "Model_Solution_Error_Reason": ["why"],
    }
    return build("mr_ben", **{**record, **changes})


def test_mr_ben_question_uuid_is_the_cluster_and_no_key():
    one, other = mr_ben(), mr_ben(Model_Solution_Steps=["Step 1: b"])
    assert one.cluster == other.cluster == "q"
    assert record_hash(one) != record_hash(other)


@pytest.mark.parametrize("options", [None, "None"])
@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    return 1\n",
        ["def f():\n    return 1\n"],
        ["def f():\r\n    return 1"],
        ["def f():", "    return 1"],
        "['def f():\\n    return 1\\n']",
    ],
)
def test_mr_ben_coding_steps_are_lines_of_code_in_every_form(code, options):
    case = mr_ben(
        Subject="coding",
        Options=options,
        Model_Solution_Steps=code,
        Model_Solution_First_Error_Step="    return 1",
        Model_Solution_Error_Reason="it is 2",
    )
    assert case.steps == ("def f():", "    return 1")
    assert case.gold == Review("wrong", "return 1", "it is 2")
    assert case.facets == {"subject": "coding"}
    assert case.question == "Q?"


def test_mr_ben_steps_of_other_subjects_may_hold_line_ends():
    assert mr_ben(Model_Solution_Steps=["Step 1: a\nb", "Step 2: c"]).steps == ("Step 1: a\nb", "Step 2: c")


def test_mr_ben_blank_label_of_the_first_wrong_line_is_noted():
    case = mr_ben(Subject="coding", Model_Solution_Steps="x", Model_Solution_First_Error_Step="   ")
    assert case.gold == Review("wrong", "", "why")
    assert "blank" in case.note


def test_correct_solutions_have_no_error_step():
    case = mr_ben(Model_Solution_Correctness="correct", Model_Solution_First_Error_Step="N/A")
    assert case.gold == Review("correct")
