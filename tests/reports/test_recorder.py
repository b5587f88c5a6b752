from __future__ import annotations

from pathlib import Path

from pytest_thinkslm.engines.factory import EngineFactory
from pytest_thinkslm.reports.recorder import Recorder, default_report_dir
from pytest_thinkslm.settings.run_settings import Settings


def recorded(settings: Settings, folder: Path) -> dict[str, object]:
    recorder = Recorder(settings, EngineFactory(settings, print), folder)
    value: dict[str, object] = recorder._settings()
    recorder.discard()
    return value


def test_no_secret_of_the_command_line_is_written(tmp_path: Path) -> None:
    secrets = ("api_key", "API_KEY", "hf_token", "client_secret", "proxy-password", "Credentials")
    settings = Settings(
        ("m",),
        engine="openai",
        server_url="http://user:canary-1@127.0.0.1:8000/v1?key=canary-2#canary-3",
        engine_args={"batch_tokens": "64", **dict.fromkeys(secrets, "canary-4")},
    )
    written = recorded(settings, tmp_path)
    assert "canary" not in str(written)
    assert written["server_url"] == "http://127.0.0.1:8000/v1"
    assert written["engine_args"] == {"batch_tokens": "64", **dict.fromkeys(secrets, "(not written)")}


def test_folders_of_this_machine_are_not_written(tmp_path: Path) -> None:
    settings = Settings(("m",), engine="openai", server_url="http://h/v1", data_dir=tmp_path, report_dir=tmp_path)
    assert str(tmp_path.parent) not in str(recorded(settings, tmp_path))


def test_the_default_folder_names_time_model_and_quant() -> None:
    name = default_report_dir(Settings(("owner/Model-1B", "b"), quants=("none",))).name
    assert name.endswith("-Model-1B_b-none")
