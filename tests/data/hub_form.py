"""The hub's form of every data set: local records as hub rows, and what can be wrong with a row."""

import copy
import gzip
import json

QUESTIONS = {
    "gsm8k": "question",
    "math": "problem",
    "mathqa": "Problem",
    "arc_easy": "question",
    "arc_challenge": "question",
    "commonsenseqa": "question",
    "openbookqa": "question_stem",
    "hellaswag": "ctx_a",
    "gsm_plus": "question",
    "mr_gsm": "question",
    "mr_ben": "Question",
}
KEYS = tuple(QUESTIONS)


def records(path):
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode().split("\n")
    return [json.loads(line) for line in lines if line]


def _flat(name):
    """An ARC-like record as the hub has it: flat, choices a dict of lists."""

    def convert(record):
        question = record["question"]
        concept = {key: question[key] for key in question.keys() & {"question_concept"}}
        columns = {key: [choice[key] for choice in question["choices"]] for key in ("text", "label")}
        return {
            "id": record["id"],
            name: question["stem"],
            **concept,
            "choices": columns,
            "answerKey": record["answerKey"],
        }

    return convert


def _printed(record):
    """A record of a hub CSV: lists are printed, numbers are texts, N/A is null."""
    return {key: None if value == "N/A" else str(value) for key, value in record.items()}


def _one_code(record):
    """MR-Ben's hub rows: a record's code is one text in a list; columns that a record lacks are there."""
    steps = record["Model_Solution_Steps"]
    coding = record["Subject"] == "coding"
    row = {"Options": "None" if coding else None, "Ground_Truth_Analysis": None, **record}
    if coding:
        row["Model_Solution_Steps"] = [steps if isinstance(steps, str) else "\n".join(steps)]
    return row


#: Task -> its local record as a row of the hub.
HUB_FORMS = {
    "gsm8k": dict,
    "math": lambda record: {key: value for key, value in record.items() if key != "idx"},
    "mathqa": dict,
    "arc_easy": _flat("question"),
    "arc_challenge": _flat("question"),
    "commonsenseqa": _flat("question"),
    "openbookqa": _flat("question_stem"),
    "hellaswag": dict,
    "gsm_plus": dict,
    "mr_gsm": _printed,
    "mr_ben": _one_code,
}


def varied(key, record, number):
    """A further local record: the same with another question."""
    record = copy.deepcopy(record)
    name = QUESTIONS[key]
    if isinstance(record.get("question"), dict):
        record["question"]["stem"] += f" (variant {number})"
    else:
        record[name] = f"{record[name]} (variant {number})"
    return record


def rephrased(key, row):
    return {**row, QUESTIONS[key]: f"Other words: {row[QUESTIONS[key]]}"}


def regraded(key, row):
    """The row with another gold, still one that can be built; and the part of it that differs."""
    if key in ("gsm8k", "math"):
        name, text = ("answer", "#### 424242") if key == "gsm8k" else ("solution", r"It is $\boxed{424242}$.")
        return {**row, name: text}, "gold"
    if key == "gsm_plus":
        return {**row, "answer": "424242"}, "gold"
    if key == "hellaswag":
        return {**row, "label": str((int(row["label"]) + 1) % 4)}, "gold"
    if key == "mathqa":
        return {**row, "correct": "abcde"[("abcde".index(row["correct"]) + 1) % 5]}, "gold"
    if key == "mr_gsm":
        return {**row, "model_output_steps": "['Step 1: other.']"}, "steps"
    if key == "mr_ben":
        return {**row, "Model_Solution_Steps": ["Step 1: other."]}, "steps"
    labels = row["choices"]["label"]
    return {**row, "answerKey": labels[(labels.index(row["answerKey"].strip()) + 1) % len(labels)]}, "gold"


def broken(key, row):
    """The row with a field that no item can be made of."""
    changes = {
        "gsm8k": {"answer": "no mark"},
        "math": {"solution": "no box"},
        "mathqa": {"correct": "z"},
        "hellaswag": {"label": ""},
        "mr_gsm": {"model_output_solution_correctness": "maybe"},
        "mr_ben": {"Model_Solution_Correctness": "maybe"},
    }
    if key == "gsm_plus":
        return {name: value for name, value in row.items() if name != "answer"}
    return {**row, **changes.get(key, {"answerKey": "Z"})}
