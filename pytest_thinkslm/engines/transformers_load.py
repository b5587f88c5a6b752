"""A checkpoint loaded with transformers: model, tokenizer, and what ends an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TextIO

from pytest_thinkslm.core.errors import EngineError, ThinkSLMError
from pytest_thinkslm.core.records import Message
from pytest_thinkslm.engines import loaded, weights
from pytest_thinkslm.engines.transformers_attention import use_grouped_attention
from pytest_thinkslm.machine.hardware import DeviceChoice
from pytest_thinkslm.models.checkpoint import generation_config
from pytest_thinkslm.models.marks import OwnMarks, mark_ids, own_marks
from pytest_thinkslm.models.resolve import ResolvedModel
from pytest_thinkslm.models.template import PLAIN_STOP, content_of

_CHATTERERS = ("transformers", "accelerate", "huggingface_hub", "compressed_tensors")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the engine's thread works with.

    ``stop_ids`` end a row; ``stop_strings`` do so for a base model, which would go on with a question of its own.
    ``mark_ids`` are tokens that mark a thought: they stay in the text, special or not, so that it can be told from
    the answer; ``own`` has the marks that only this checkpoint knows, which are put in a spelling that readers know.
    ``facts`` are what was loaded, as ``loaded.of_model`` tells. ``vocabulary`` is the number of tokens that the model's
    embedding has, None where that is not known.
    """

    model: Any
    tokenizer: Any
    stop_ids: tuple[int, ...]
    stop_strings: tuple[str, ...]
    mark_ids: frozenset[int]
    pad_id: int
    own: OwnMarks = field(default_factory=OwnMarks)
    facts: Mapping[str, object] = field(default_factory=dict)
    vocabulary: int | None = None

    def text(self, tokens: Sequence[int]) -> str:
        """New token ids as text: without the stop token and other special tokens, thought markers kept."""
        tokens = tokens[:-1] if tokens and tokens[-1] in self.stop_ids else tokens
        parts: list[str] = []
        run: list[int] = []
        for token in tokens:
            if token in self.mark_ids:
                parts += [self._plain(run), str(self.tokenizer.convert_ids_to_tokens(token))]
                run = []
            else:
                run.append(token)
        return self.own.shown(self.cut("".join([*parts, self._plain(run)])))

    def cut(self, text: str) -> str:
        """The text before the first stop string."""
        ends = [at for at in map(text.find, self.stop_strings) if at >= 0]
        return text[: min(ends)] if ends else text

    def stopped(self) -> Callable[[list[int]], int | None] | None:
        """For ``decode``: how many of the new tokens complete the first stop string; None without stop strings."""
        if not self.stop_strings:
            return None

        def tokens_until_stop(tokens: list[int]) -> int | None:
            if not self._has_stop(tokens):
                return None
            low, high = 1, len(tokens)  # the stop string stays once it is there, so halving finds its first token
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self._has_stop(tokens[:middle]) else (middle + 1, high)
            return low

        return tokens_until_stop

    def _has_stop(self, tokens: Sequence[int]) -> bool:
        text = self._plain(tokens)
        return any(string in text for string in self.stop_strings)

    def _plain(self, tokens: Sequence[int]) -> str:
        if not tokens:
            return ""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def load(resolved: ResolvedModel, placement: DeviceChoice, trust_remote_code: bool) -> Loaded:
    """Load from the resolved folder, never from the network.

    Raises EngineError with the loader's reason, where weights are missing, unexpected or of other shapes, and where a
    compressed checkpoint was loaded as if it were not.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    common = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    try:
        listed = weights.check_files(
            resolved.path, resolved.config, resolved.display, trust_remote_code=trust_remote_code
        )
        tokenizer = AutoTokenizer.from_pretrained(resolved.path, **common)
        on_gpu = {"device_map": {"": f"cuda:{torch.cuda.current_device()}"}} if placement.device == "cuda" else {}
        with weights.quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                resolved.path,
                dtype=getattr(torch, placement.dtype),
                use_safetensors=True,
                output_loading_info=True,
                **on_gpu,
                **common,
            )
            if not listed:
                weights.check(weights.Weights.of(info), resolved.path, resolved.config, resolved.display)
            facts = loaded.of_model(model, resolved.compression, resolved.display)
            loaded.decompress(model)
    except ThinkSLMError:
        raise
    except Exception as problem:  # loaders of every architecture and quantization: any error is the checkpoint's
        raise EngineError(f"cannot load {resolved.display}: {one_line(problem)}") from problem
    model.eval()
    use_grouped_attention(model)
    own = own_marks(resolved.chat_template)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        stop_ids=stop_ids_of(resolved, model, tokenizer),
        stop_strings=() if resolved.has_chat_template else PLAIN_STOP,
        mark_ids=mark_ids(tokenizer, own),
        pad_id=_pad_id(tokenizer, model),
        own=own,
        facts=facts,
        vocabulary=_vocabulary(model),
    )


def _vocabulary(model: Any) -> int | None:
    rows = getattr(getattr(model.get_input_embeddings(), "weight", None), "shape", (None,))[0]
    return None if rows is None else int(rows)


def _pad_id(tokenizer: Any, model: Any) -> int:
    """A token to fill up with. It is masked, so that any will do, but the embedding has to have it."""
    most = _vocabulary(model)
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((one for one in ids if one is not None and 0 <= one < (most or one + 1)), 0)


def one_line(problem: BaseException, longest: int = 300) -> str:
    """The error's type and the beginning of its message, on one line."""
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:longest]


@contextmanager
def chatter_to(log: TextIO | None) -> Iterator[None]:
    """Send what transformers and its libraries log to ``log`` (None: nowhere) and show no progress bars."""
    from transformers.utils import logging as transformers_logging

    handler = logging.StreamHandler(log) if log is not None else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    loggers = [logging.getLogger(name) for name in _CHATTERERS]
    before = [(logger, list(logger.handlers), logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        if had_bars:
            transformers_logging.enable_progress_bar()


def stop_ids_of(resolved: ResolvedModel, model: Any, tokenizer: Any) -> tuple[int, ...]:
    """End tokens of generation config, model config and tokenizer, and the chat template's end of a turn."""
    found: set[int] = set()
    declared: Any = generation_config(resolved.path, resolved.name).get("eos_token_id")
    for value in (declared, getattr(model.config, "eos_token_id", None), tokenizer.eos_token_id):
        found.update(value if isinstance(value, list) else [] if value is None else [value])
    end = _turn_end(resolved, tokenizer)
    return tuple(sorted(found if end is None else {*found, end}))


def _turn_end(resolved: ResolvedModel, tokenizer: Any) -> int | None:
    """The special token that the chat template puts behind an assistant's turn; None where it puts none.

    One that ends thoughts, too (Harmony's ``<|end|>``), ends no output.
    """
    if not resolved.has_chat_template:
        return None
    mark, text = "0d9f6c1e", ""
    for parts in (False, True):  # contents as text or, where that is dropped, as parts
        turns = (Message("user", "?"), Message("assistant", mark))
        chat = [{"role": turn.role, "content": content_of(turn, parts)} for turn in turns]
        with suppress(Exception):  # of the template, which is others' code: then the declared end tokens have to do
            text = str(tokenizer.apply_chat_template(chat, chat_template=resolved.chat_template, tokenize=False))
        if mark in text:
            break
    else:
        return None
    behind = tokenizer(text.rpartition(mark)[2], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | {
        int(token) for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    if not behind or behind[0] not in special or behind[0] in mark_ids(tokenizer, own_marks(resolved.chat_template)):
        return None
    return int(behind[0])
