"""Where settings come from, what is said about wrong ones, and which may change while serving."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from inference_server.options import GROUPS, group_of
from inference_server.settings import Settings
from pydantic import ValidationError

from .conftest import COMMAND, PATIENCE, Server, Start, wait_until

ROW = {"instances": [[1, 1, 1]]}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | environment,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    return ended


def messages(server: Server, text: str) -> list[str]:
    return [event["reason"] for event in server.events() if event["message"] == text]


def logged(server: Server) -> int:
    return sum(event.get("endpoint") == "predict" for event in server.events())


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    repository: Path, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('port = 70001\nworkers = 70\nlog_level = "loud"\n')
    options = (f"--model-repository={repository}", f"--settings-file={file}", "--port=70003")
    ended = run(*options, WORKERS="71", PORT="70002")
    assert ended.returncode == 2
    assert "--port (PORT): Input should be less than or equal to 65535, got '70003'" in ended.stderr
    assert "--workers (WORKERS): Input should be less than or equal to 64, got '71'" in ended.stderr
    assert f"{file}: log_level: Input should be 'debug'" in ended.stderr


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.toml", "max_json_depth = 16\ndocs = false\n"),
        ("settings.yaml", "max_json_depth: 16\ndocs: false\n"),
    ],
)
def test_a_file_is_read_as_toml_or_yaml(
    repository: Path, tmp_path: Path, start: Start, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    server = start(repository, environment={"SETTINGS_FILE": str(tmp_path / name)})
    assert server.get("/docs").status_code == 404
    assert server.post("/predict", "[" * 17 + "]" * 17).status_code == 400


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.toml", "prot = 80", "s.toml: prot: no such setting"),
        ("s.yaml", "settings_file: other.yaml", "s.yaml: settings_file: no such setting"),
        ("s.toml", "port = ", "s.toml: cannot be read"),
        ("s.yaml", "port: [80", "s.yaml: cannot be read"),
        ("s.yaml", "- port", "s.yaml: expected `setting: value` lines"),
        ("s.ini", "port = 80", "s.ini: a settings file ends in .toml, .yaml or .yml"),
        ("s.yaml", "port: eighty", "s.yaml: port: Input should be a valid integer"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(
    repository: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    ended = run(f"--model-repository={repository}", f"--settings-file={tmp_path / name}")
    assert ended.returncode == 2
    assert message in ended.stderr


def test_a_missing_file_is_named(repository: Path) -> None:
    ended = run(f"--model-repository={repository}", "--settings-file=/nowhere/s.toml")
    assert ended.returncode == 2
    assert "/nowhere/s.toml: No such file or directory" in ended.stderr


def test_a_wrong_secret_is_not_printed(repository: Path) -> None:
    url = "rediss:/user:hunter2@host"
    ended = run(f"--model-repository={repository}", RATE_LIMIT_REDIS_URL=url)
    assert ended.returncode == 2
    assert "--rate-limit-redis-url (RATE_LIMIT_REDIS_URL)" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_a_folder_that_cannot_be_written_is_named(repository: Path) -> None:
    ended = run(f"--model-repository={repository}", "--port=0", "--state-folder=/proc/state")
    assert ended.returncode == 2
    assert "/proc/state cannot be written" in ended.stderr


def test_the_help_explains_each_setting_in_a_group() -> None:
    ended = run("--help", COLUMNS="200")
    assert ended.returncode == 0
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in ended.stdout
        assert f"environment: {name.upper()}" in ended.stdout
        assert field.description
        assert group_of(name) in dict(GROUPS), f"{name} is in no group"
    assert "more:" not in ended.stdout


def test_sighup_takes_over_what_may_change(repository: Path, tmp_path: Path, start: Start) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("log_sample_rate = 0.0")
    server = start(repository, f"--settings-file={file}")
    server.post("/predict", ROW)
    assert logged(server) == 0
    file.write_text("log_sample_rate = 1.0\nmax_queue = 7")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: bool(messages(server, "reloaded")))
    assert "log_sample_rate: 0.0 -> 1.0" in messages(server, "reloaded")[0]
    waiting = "setting changes with the next start only: max_queue: 256 -> 7"
    assert any(event["message"] == waiting for event in server.events())
    server.post("/predict", ROW)
    wait_until(lambda: logged(server) == 1)


def test_a_changed_file_is_noticed_without_a_signal(
    repository: Path, tmp_path: Path, start: Start
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("drain_seconds: 1")
    server = start(repository, f"--settings-file={file}")
    new = tmp_path / "new"
    new.write_text("log_level: warning")
    new.replace(file)
    wait_until(lambda: any("log_level" in each for each in messages(server, "reloaded")))
    assert server.stop() == 0
    assert not messages(server, "draining")  # a line of level info


def test_a_broken_file_leaves_the_settings_as_they_were(
    repository: Path, tmp_path: Path, start: Start
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("log_sample_rate = 1.0")
    server = start(repository, f"--settings-file={file}")
    file.write_text("log_sample_rate = 2.0")
    server.process.send_signal(signal.SIGHUP)
    kept = "settings kept as they were"
    wait_until(lambda: bool(messages(server, kept)))
    assert f"{file}: log_sample_rate" in messages(server, kept)[0]
    server.post("/predict", ROW)
    wait_until(lambda: logged(server) == 1)


def test_every_worker_reloads(repository: Path, start: Start) -> None:
    server = start(repository, "--workers=2")
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: messages(server, "reloaded") == ["SIGHUP", "SIGHUP"])
    assert server.stop() == 0


def test_models_by_request_need_one_process(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="MODEL_CONTROL=explicit needs WORKERS=1"):
        Settings(model_repository=tmp_path, model_control="explicit", workers=2)
