"""What the vLLM engine takes from vLLM that its documentation does not promise, in this one place.

Seen in vLLM 0.32. Each function says what happens where a name is gone; a test fails when one is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def throughput() -> dict[str, Any]:
    """Arguments of ``LLMEngine.from_engine_args`` that give the batch sizes of ``LLM()``, which are for throughput.

    ``usage.usage_lib.UsageContext``. Without it vLLM's defaults for a server are used.
    """
    try:
        from vllm.usage.usage_lib import UsageContext
    except ImportError:
        return {}
    return {"usage_context": UsageContext.LLM_CLASS}


def is_linear(module: Any) -> bool:
    """Whether a module of the loaded model is a linear layer; ``model_executor.layers.linear.LinearBase``.

    Raises ``ImportError`` where it is gone: what was loaded could not be told, and a run says so.
    """
    from vllm.model_executor.layers.linear import LinearBase

    return isinstance(module, LinearBase)


def watch_logits(engine: Any, broken: Callable[[str], None]) -> bool:
    """Tell of the requests in whose logits vLLM counts NaNs (``VLLM_COMPUTE_NANS_IN_LOGITS``); it answers them all.

    ``LLMEngine.output_processor`` with ``process_outputs`` and ``request_states``. False where they are gone: such
    outputs are then not told from others.
    """
    processor = getattr(engine, "output_processor", None)
    process, states = getattr(processor, "process_outputs", None), getattr(processor, "request_states", None)
    if processor is None or process is None or states is None:
        return False

    def watched(outputs: Any, *given: Any, **named: Any) -> Any:
        for output in outputs:
            if getattr(output, "num_nans_in_logits", 0):
                state = states.get(output.request_id)
                broken(str(getattr(state, "external_req_id", None) or output.request_id))
        return process(outputs, *given, **named)

    processor.process_outputs = watched
    return True


def core_name(engine: Any) -> str | None:
    """The class of the engine's core (in this process, or in one of its own); None where that is not told."""
    core = getattr(engine, "engine_core", None)
    return None if core is None else type(core).__name__


def shut_down(engine: Any) -> None:
    """Stop the engine's core; where it has no such method it ends with the process."""
    stop = getattr(getattr(engine, "engine_core", None), "shutdown", None)
    if stop is not None:
        stop()
