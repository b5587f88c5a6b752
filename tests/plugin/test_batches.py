"""thinkslm prompts, and the results of a batch as recorded outputs."""

import json
import re

import pytest
from replayed import items, without_measured

from pytest_thinkslm.__main__ import main
from pytest_thinkslm.engines.batch_files import plain_entry

OPTIONS = ("--task=sort8_positive,sort8_mixed", "--limit=4", "--style=direct,cot")

ENGINE = """
from scripted import reply
from pytest_thinkslm import Output, engine_from, register_engine

register_engine("scripted", engine_from(lambda prompts, sampling: [Output(*reply(prompt)) for prompt in prompts]))
"""

SCRIPTED = '''
import re

def reply(prompt):
    """Right for lists that begin with an odd number, cut for multiples of four, wrong else; with a thought at times."""
    numbers = [int(text) for text in re.findall(r"-?\\d+", prompt.partition("[")[2].partition("]")[0])]
    answer = ", ".join(map(str, sorted(numbers)))
    if numbers[0] % 4 == 0:
        return "Let me see: " + answer[:7], None, "length", 20, None  # of no known length: at its limit or before it
    thought = "Sorting is easy." if len(prompt) % 2 else None
    return "\\\\boxed{%s}" % (answer if numbers[0] % 2 else answer[::-1]), thought, "stop", 20, 12
'''


def _answered(lines, reply):
    """What a batch service makes of requests: results in another order, one a line."""
    for line in reversed(lines):
        text, thought, reason, prompt_tokens, output_tokens = reply(line["body"]["messages"][-1]["content"])
        message = {"role": "assistant", "content": text}
        if thought is not None:
            message["reasoning_content"] = thought
        body = {
            "model": line["body"]["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": output_tokens},
        }
        response = {"status_code": 200, "request_id": "r", "body": body}
        yield {"id": "b", "custom_id": line["custom_id"], "response": response, "error": None}


@pytest.mark.parametrize(
    ("further", "forms"), [((), [""]), (("--stress=order:1,layout:2",), ["", "/order-1", "/layout-1", "/layout-2"])]
)
def test_prompts_answered_elsewhere_and_replayed_equal_a_direct_run(pytester, capsys, further, forms):
    pytester.makepyfile(scripted=SCRIPTED)
    pytester.makeconftest(ENGINE)
    pytester.syspathinsert()
    from scripted import reply

    asked = (*OPTIONS, *further)
    assert main(["prompts", "--model", "m", *asked, "-o", "batch.jsonl"]) == 0
    assert f"{16 * len(forms)} requests in batch.jsonl" in capsys.readouterr().out
    lines = [json.loads(line) for line in pytester.path.joinpath("batch.jsonl").read_text().splitlines()]
    assert {re.sub(r"\d{4}", "N", line["custom_id"]) for line in lines} == {
        f"sort8_{kind}/{style}/N/1{form}"
        for kind in ("positive", "mixed")
        for style in ("direct", "cot")
        for form in forms
    }
    assert all(line["method"] == "POST" and line["url"] == "/v1/chat/completions" for line in lines)
    assert lines[0]["body"] | {"messages": None} == {
        "model": "m",
        "messages": None,
        "max_tokens": 512,
        "temperature": 0.0,
        "top_p": 1.0,
    }
    results = pytester.path / "results.jsonl"
    results.write_text("".join(json.dumps(each) + "\n" for each in _answered(lines, reply)))
    direct = pytester.runpytest_subprocess("--model=m", "--engine=scripted", "--report-dir=direct", *asked)
    replayed = pytester.runpytest_subprocess(f"--model={results}", "--engine=replay", "--report-dir=replayed", *asked)
    assert direct.ret == replayed.ret == 0, direct.stdout.str() + replayed.stdout.str()
    assert items(pytester.path / "direct") == items(pytester.path / "replayed")
    assert {line["verdict"] for line in items(pytester.path / "direct")} == {"correct", "incorrect", "truncated"}
    one, two = (without_measured(pytester.path / name) for name in ("direct", "replayed"))
    assert one["results"] == two["results"]
    assert one.get("stress") == two.get("stress")
    assert ("stress" in one) == bool(further)


def test_repeats_have_seeds_of_their_own(capsys):
    assert main(["prompts", "--model=m", "--task=sort8_positive", "--limit=1", "--repeats=2", "--temperature=0.7"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["custom_id"].rpartition("/")[2] for line in lines] == ["1", "2"]
    assert lines[0]["body"]["temperature"] == 0.7
    assert lines[0]["body"]["seed"] != lines[1]["body"]["seed"]
    assert lines[0]["body"]["messages"] == lines[1]["body"]["messages"]


def test_a_seed_question_is_asked_once(samples, capsys):
    arguments = ["--task=gsm_plus,gsm8k", f"--data-dir={samples}", "--accept-data", "--thinks", "--system=Be brief."]
    assert main(["prompts", "--model=m", *arguments]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ids = [line["custom_id"] for line in lines]
    assert len(ids) == len(set(ids))
    assert {line["body"]["messages"][0]["content"] for line in lines} == {"Be brief."}
    assert lines[0]["body"]["max_tokens"] == 1024 + 8192


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model=a,b"], "give one model"),
        (["--model=m", "--task=gsm9k"], "unknown task 'gsm9k'"),
        (["--model=m", "--task=sort8_positive", "-o", "/nowhere/x.jsonl"], "cannot be written"),
        (["--model=m", "--limit=none"], "--limit 'none' is no whole number"),
    ],
)
def test_bad_arguments(arguments, message, capsys):
    assert main(["prompts", *arguments]) == 4
    assert message in capsys.readouterr().err


# --- what services hand back

BODY = {"model": "m", "choices": [{"message": {"content": "7"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"response": {"status_code": 200, "body": BODY}, "error": None}, {"output": "7", "model": "m"}),
        ({"response": {"body": BODY}}, {"output": "7"}),
        (
            {"response": {"status_code": 400, "body": {"error": {"message": "too long"}}}},
            {"output": "", "error": "the batch failed on it: the server answered 400: too long"},
        ),
        (
            {"response": None, "error": {"code": "batch_expired", "message": "This request could not be executed."}},
            {"error": "the batch failed on it: This request could not be executed."},
        ),
        ({"response": {"status_code": 200, "body": {"choices": []}}}, {"output": ""}),
        ({"response": {"status_code": 200, "body": None}}, {"output": ""}),
        ({"response": "?"}, {"output": ""}),
    ],
)
def test_a_result(line, expected):
    entry = plain_entry({"custom_id": "gsm8k/cot/0017/2", **line})
    assert (entry["task"], entry["style"], entry["item"], entry["repeat"]) == ("gsm8k", "cot", 17, 2)
    assert {name: entry[name] for name in expected} == expected
    assert ("error" in entry) == (not entry["output"])


@pytest.mark.parametrize("name", ["request-1", "gsm8k/cot/x/1", "gsm8k/cot/1", 7, None, "a/b/c/d/e"])
def test_an_id_of_another_kind_is_said(name):
    assert "is none that 'thinkslm prompts' writes" in plain_entry({"custom_id": name, "response": None})


def test_a_request_that_failed_is_an_error_of_its_item(replay, pytester):
    lines = [
        {
            "custom_id": f"sort8_positive/direct/{item:04d}/1",
            "response": {"status_code": 400, "body": {}},
            "error": None,
        }
        for item in range(2)
    ]
    result = replay([*lines, {"custom_id": "other", "response": {}}], "--task=sort8_positive", "-k", "0000 or 0001")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the batch failed on it: the server answered 400*", "*line 3: custom_id 'other'*"])
    assert {line["verdict"] for line in items(pytester.path / "report")} == {"error"}
