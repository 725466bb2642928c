"""The command itself: help, version, errors as one line, start-up time."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.calls import call

from nucleate import __version__
from nucleate.apps.cli import main as door
from nucleate.errors import MissingExtraError, ModelError, NucleateError, UsageError
from nucleate.run.exports import EXPORTS
from nucleate.run.threads import WORKER_NAME

pytestmark = pytest.mark.base


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == f"nucleate {__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_names_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {verb} " in said for verb in door.VERBS)
    assert "completion" not in said


@pytest.mark.parametrize("verb", door.VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(verb, "--help") == 0
    said = capsys.readouterr().out
    assert "Example" in said
    assert f"nucleate {verb}" in said.split("Example", 1)[1]
    assert "\\b" not in said


def test_verbs_share_modules_and_not_each_other() -> None:
    folder = Path(door.__file__).parent
    found = [
        f"{verb}: {other}"
        for verb in door.VERBS
        for other in re.findall(
            r"nucleate\.apps\.cli(?:\.| import )(\w+)", (folder / f"{verb}.py").read_text(encoding="utf-8")
        )
        if other in door.VERBS
    ]
    assert found == []


def test_the_help_of_segment_names_every_export(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("segment", "--help") == 0
    listed = capsys.readouterr().out.split("--export NAME", 1)[1].split("[default", 1)[0]
    assert set(EXPORTS) - set(re.findall(r"[a-z]+(?:-[a-z]+)?", listed)) == set()


@pytest.mark.parametrize(
    "words",
    [("info", ""), ("segment", "", "-o", "x"), ("segment", "a.png", "-o", ""), ("evaluate", "a", "b", "--json=")],
)
def test_an_empty_word_is_not_the_folder_one_is_in(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    assert "an argument is empty" in capsys.readouterr().err


@pytest.mark.parametrize("memory", ["inf", "nan", "1e300"])
@pytest.mark.parametrize("verb", [["segment", "a.png"], ["screen", "plate", "--map", "map.csv"]])
def test_memory_is_a_number_of_gigabytes(memory: str, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for cluster in ([], ["--cluster", "local"]):
        assert call(*verb, "-o", "out", "--memory", memory, *cluster) == 2
        said = capsys.readouterr().err
        assert "--memory" in said  # typer itself refuses some of them, depending on its version
        assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no such thing"), 2, "nucleate: no such thing\n"),
        (MissingExtraError("zarr", "formats"), 2, "pip install 'nucleate[formats]'\n"),
        (ModelError("damaged"), 1, "nucleate: damaged\n"),
        (NucleateError("two\nlines"), 1, "nucleate: two\\nlines\n"),
        (KeyError("x"), 1, "nucleate: unexpected KeyError: 'x'; add --debug for the traceback\n"),
        (KeyboardInterrupt(), 130, "nucleate: stopped\n"),
    ],
)
def test_errors_are_one_line_and_a_code(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise error

    monkeypatch.setattr("nucleate.run.weights.list_models", fail)
    assert call("models") == code
    said = capsys.readouterr().err
    assert said.endswith(line)
    assert said.count("\n") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("is_own", [False, True])
def test_only_a_thread_of_the_call_that_is_still_busy_ends_the_program(
    monkeypatch: pytest.MonkeyPatch, *, is_own: bool
) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name=WORKER_NAME, daemon=True)

    def stop() -> None:
        if is_own:
            thread.start()
        raise KeyboardInterrupt

    def leave() -> None:
        raise SystemExit("left")

    monkeypatch.setattr("nucleate.run.weights.list_models", stop)
    monkeypatch.setattr("nucleate.apps.cli.ctrl_c.leave", leave)
    if not is_own:
        thread.start()
    with pytest.raises(SystemExit) as ended:
        door.main(["models"])
    done.set()
    thread.join()
    assert ended.value.code == ("left" if is_own else 130)


def test_what_is_stopped_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise KeyboardInterrupt

    monkeypatch.setattr("nucleate.apps.cli.train.import_training", stop)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my images").mkdir()
    assert call("train", "my images", "-o", "run") == 130
    again = "nucleate train 'my images' -o run --resume"
    assert capsys.readouterr().err == f"nucleate: stopped; what is finished is kept; go on with:\n  {again}\n"


@pytest.mark.parametrize("words", [["--debug", "models"], ["models", "--debug"]])
def test_debug_shows_the_traceback_and_keeps_the_code(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise UsageError("no such thing")

    monkeypatch.setattr("nucleate.run.weights.list_models", fail)
    assert call(*words) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("nucleate: no such thing\n")


def test_a_file_may_be_called_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", "--", "--debug") == 2
    assert capsys.readouterr().err.startswith("nucleate: --debug: no such file or folder")


@pytest.mark.parametrize("words", [["frobnicate"], ["--frob"], ["models", "extra"]])
def test_what_is_not_known_is_a_wrong_call(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith("nucleate: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "got"),
    [
        (["--min-confidence", "2"], "2"),
        (["--threads", "0"], "0"),
        (["--tile", "x"], "x"),
        (["--memory", "nan"], "nan"),
        (["--device", "gpu"], "gpu"),
    ],
)
def test_a_wrong_value_is_said(words: list[str], got: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("segment", "a.png", "-o", "out", *words) == 2
    said = capsys.readouterr().err
    assert words[0] in said
    wrong, _, more = said.partition(". Try: nucleate segment --help\n")
    assert not more
    assert got in wrong.partition(words[0])[2]
    assert "Value error" not in said
    assert said.count("\n") == 1


def test_choices_are_said_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", "mine.onnx", "-o", "out") == 2
    said = capsys.readouterr().err
    assert "onnx, torchscript, bioimageio" in said
    assert "\\" not in said


def test_help_is_there_at_once() -> None:
    # Processor time: the clock on the wall measures who else uses the machine.
    code = (
        "import sys, time; from nucleate.apps.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'torch', 'scipy', 'skimage', 'onnxruntime', 'rich'}\n"
        "print(time.process_time()); print(sorted(heavy & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        *_, used, heavy = said.splitlines()
        assert heavy == "[]"
        seconds.append(float(used))
    assert min(seconds) < 0.5
