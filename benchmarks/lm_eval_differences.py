"""lm-evaluation-harness on a model's outputs, its logs imported: where its verdicts and this suite's differ, and why.

The harness, which wants an environment of its own, loads the checkpoint and generates by itself (its `hf`, greedy):

    python benchmarks/lm_eval_differences.py --peer peer/bin/python --data-dir DIR --items 40 --checkpoint FOLDER

or asks a server on the loopback, which answers with what runs of this suite have recorded for the same prompts:

    python benchmarks/lm_eval_differences.py --peer peer/bin/python --data-dir DIR --items 40 RUN/items.jsonl ...

GSM8K is the harness's own task with its two filters; ARC's last letter, and the letter behind "answer is", are read by
two filters here.

Prints the tables of ``thinkslm import lm-eval``, without gold answers. Exit status 1 where a sample was not matched.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pytest_thinkslm.data.local import read_jsonl
from pytest_thinkslm.data.reader import load_cases
from pytest_thinkslm.tasks import registry
from pytest_thinkslm.tasks.prompts import prompt_messages

#: Of each task: what is asked is the field ``prompt``; the other fields are the data set's own.
TASK = """
task: {name}_here
dataset_path: json
dataset_name: null
dataset_kwargs: {{data_files: {{test: {folder}/{name}.jsonl}}}}
training_split: null
fewshot_split: null
num_fewshot: 0
doc_to_text: "{{{{prompt}}}}"
"""
OWN = {
    "gsm8k": "include: {peer}/gsm8k/gsm8k.yaml",
    "arc_easy": r"""
output_type: generate_until
test_split: test
doc_to_target: "{{{{answerKey}}}}"
generation_kwargs: {{until: ["<|im_end|>"], do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
filter_list:
  - {{name: answer-is, filter: [{{function: regex, regex_pattern: 'answer is \(?([A-E])'}}, {{function: take_first}}]}}
  - name: last-letter
    filter: [{{function: regex, regex_pattern: '\b([A-E])\b', group_select: -1}}, {{function: take_first}}]
""",
}


def main() -> None:
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        outputs = {task: written(work, task, arguments) for task in OWN}
        command = [arguments.peer, "-m", "lm_eval", "--log_samples", "--apply_chat_template"]
        command += ["--tasks", ",".join(f"{task}_here" for task in OWN), "--include_path", work]
        command += ["--output_path", work / "logs"]
        server = None
        if arguments.checkpoint:
            command += ["--model", "hf", "--device", "cpu", "--batch_size", "8"]
            command += ["--model_args", f"pretrained={arguments.checkpoint},dtype=bfloat16"]
        else:
            server = ThreadingHTTPServer(("127.0.0.1", 0), handler({**outputs["gsm8k"], **outputs["arc_easy"]}))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_address[1]}/v1/chat/completions"
            command += ["--model", "local-chat-completions"]
            command += ["--model_args", f"model={arguments.name},base_url={url},num_concurrent=4,max_retries=1"]
        environ = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "cache"), "OPENAI_API_KEY": "none"}
        subprocess.run(command, check=True, stdout=sys.stderr, env=environ)
        if server:
            server.shutdown()
        logs = sorted((work / "logs").rglob("samples_*.jsonl"))
        own: list[str | Path] = [sys.executable, "-m", "pytest_thinkslm", "import", "lm-eval", *logs]
        own += [
            f"--data-dir={arguments.data_dir}",
            "-o",
            arguments.keep or work / "out.jsonl",
            f"--differences={work / 'table.md'}",
        ]
        done = subprocess.run(own, stdout=sys.stderr)
        print(re.sub(r", gold [^|]*", " ", (work / "table.md").read_text()))
    raise SystemExit(done.returncode)


def written(folder: Path, task: str, arguments: argparse.Namespace) -> dict[str, str]:
    """Write a task of the harness and its records; what was answered to each prompt."""
    if arguments.checkpoint:
        loaded = load_cases(registry.get(task), range(arguments.items), arguments.data_dir, data_seed=0)
        prompts = {item: prompt_messages(case, "direct")[-1].content for item, case in sorted(loaded.cases.items())}
        found: dict[int, dict[str, Any]] = {}
    else:
        lines = [line for path in arguments.runs for _, line in read_jsonl(path, "the benchmark")]
        lines = [line for line in lines if line["task"] == task and line["repeat"] == 1]
        lines = [line for line in lines if line["quant"] == "none" and line["style"] == "direct"]
        found = {int(str(line["item"])): line for line in lines}
        prompts = {item: found[item]["messages"][-1]["content"] for item in sorted(found)[: arguments.items]}
    data = read_jsonl(arguments.data_dir / f"{task}_test.jsonl", "the benchmark")
    records = [{**as_published(data[item][1]), "prompt": prompt} for item, prompt in prompts.items()]
    (folder / f"{task}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    where = "import importlib.util as u; print(u.find_spec('lm_eval').submodule_search_locations[0])"
    package = subprocess.run([arguments.peer, "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    text = (OWN[task] + TASK).format(peer=f"{package}/tasks", folder=folder, name=task)
    (folder / f"{task}_here.yaml").write_text(text)
    return {prompts[item]: str(line["output"]) for item, line in found.items() if item in prompts}


def as_published(record: dict[str, object]) -> dict[str, object]:
    """ARC's original record in the form of its copy on the Hugging Face Hub; others as they are."""
    question = record["question"]
    if not isinstance(question, dict):
        return record
    choices = {key: [choice[key] for choice in question["choices"]] for key in ("text", "label")}
    return {"question": question["stem"], "choices": choices, "answerKey": record["answerKey"]}


def handler(outputs: dict[str, str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = asked["messages"][-1]["content"]
            prompt = content if isinstance(content, str) else content[-1]["text"]
            message = {"role": "assistant", "content": outputs[prompt]}
            body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="ITEMS", nargs="*", type=Path, help="items.jsonl of a run with both tasks")
    parser.add_argument("--checkpoint", type=lambda path: Path(path).absolute(), help="that the harness loads itself")
    parser.add_argument("--keep", type=lambda path: Path(path).absolute(), help="file for the imported outputs")
    parser.add_argument("--peer", type=lambda path: Path(path).absolute(), required=True, help="its interpreter")
    parser.add_argument("--data-dir", type=lambda path: Path(path).absolute(), required=True)
    parser.add_argument("--items", type=int, default=40, help="of each task")
    parser.add_argument("--name", default="embedded", help="the model's name")
    arguments = parser.parse_args()
    if bool(arguments.runs) == bool(arguments.checkpoint):
        parser.error("either --checkpoint or items.jsonl of runs")
    return arguments


if __name__ == "__main__":
    main()
