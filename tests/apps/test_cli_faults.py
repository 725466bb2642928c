"""Permissions that are missing, disks that are full: the whole program on real file systems."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.apps.stopped import contents

pytestmark = [pytest.mark.base, pytest.mark.once]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests import fakes, powerless"


def run(*words: str | Path, act: str = "powerless.give_up_powers()", **env: str) -> tuple[int, list[str]]:
    """Run the command line with the fake segmenter, without the powers of an administrator; give code and lines."""
    code = f"{PROGRAM}; {act}; fakes.run(sys.argv[1:])"
    words = (sys.executable, "-c", code, *words)
    done = subprocess.run(words, env=os.environ | env, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stderr.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(3):
        image = np.full((60, 120), 10, np.uint8)
        for spot in range(number + 1):
            image[4:10, 3 + 12 * spot : 9 + 12 * spot] = 200
        tifffile.imwrite(tmp_path / "in" / f"f{number}.tif", image)
    return tmp_path / "in"


def test_what_may_not_be_read_is_named_and_the_rest_done(folder: Path, tmp_path: Path) -> None:
    (folder / "hidden").mkdir(mode=0o000)
    (folder / "f1.tif").chmod(0)
    code, said = run("segment", folder, "-o", tmp_path / "out", "--quiet")
    (folder / "hidden").chmod(0o700)
    assert code == 1
    assert len(said) == 3
    assert "f1.tif: cannot be read: Permission denied; check that it is there and may be read" in said[0]
    assert "hidden: cannot be listed: Permission denied; check that it may be read" in said[1]
    assert "2 of 4 inputs failed" in said[2]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["f0.labels.tif", "f2.labels.tif"]


def test_names_of_any_letters_where_the_system_knows_ascii_only(folder: Path, tmp_path: Path) -> None:
    odd, long = "\u00e9.tif", f"{110 * chr(0xE9)}ab.tif"
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        for name in (odd, long):
            archive.write(folder / "f1.tif", name)
    (folder / "f2.tif").rename(folder / long)
    for _ in range(2):
        words = ("segment", folder, folder / "a.zip", "-o", tmp_path / "out", "--resume", "--quiet")
        assert run(*words, LC_ALL="C", PYTHONUTF8="0") == (0, [])
        names = sorted(path.name.removesuffix(".labels.tif") for path in (tmp_path / "out").glob("*.labels.tif"))
        assert [names[0], *names[2:4]] == ["\\xe9", "f0", "f1"]
        assert names[1].startswith("\\xe9\\xe9")
        assert len(names) == 5


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_an_output_folder_without_the_right_to_write(folder: Path, tmp_path: Path, mode: int) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run("segment", folder, "-o", whole)[0] == 0
    out.mkdir()
    out.chmod(mode)
    code, said = run("segment", folder, "-o", out)
    out.chmod(0o755)
    assert code in {1, 2}
    assert len(said) == 1
    assert "Permission denied" in said[0]
    assert "unexpected" not in said[0]
    assert run("segment", folder, "-o", out, "--resume")[0] == 0
    assert contents(out) == contents(whole)


def test_a_folder_that_was_removed_under_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    gone = "nucleate: the folder that this was called in is no longer there; change to another one"
    assert run("segment", "x.png", "-o", "out") == (2, [gone])


def test_a_closed_folder_is_told_before_the_scores_are_computed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    (folder / "f1.tif").write_bytes(b"damaged")  # is told only where it is read
    code, said = run("evaluate", folder, folder, "--json", tmp_path / "closed" / "scores.json")
    assert (code, len(said)) == (1, 1)
    assert "scores.json: Permission denied; get the right to write there" in said[0]


def test_a_right_to_write_that_is_lost_on_the_way(folder: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run("segment", folder, "-o", whole)[0] == 0
    # One result is written, then the folder is closed.
    close = (
        "powerless.give_up_powers(); from nucleate.run import outputs; real = outputs.write_result; "
        f"outputs.write_result = lambda *a, **k: (real(*a, **k), __import__('os').chmod({str(out)!r}, 0o555))"
    )
    code, said = run("segment", folder, "-o", out, act=close)
    out.chmod(0o755)
    assert code == 1
    assert len(said) == 1
    assert "Permission denied; get the right to write there or choose another output folder" in said[0]
    assert said[0].endswith("; what is finished is kept, go on with --resume")
    assert len(list(out.glob("*.labels.tif"))) == 1
    assert run("segment", folder, "-o", out, "--resume")[0] == 0
    assert contents(out) == contents(whole)


def test_a_file_that_may_not_grow_so_large(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="no limits on this system")
    (folder / "f0.tif").unlink()  # labels, overlay and journal of these small pictures take some hundred bytes each
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))"
    code, said = run("segment", folder, "-o", tmp_path / "out", act=limit)
    assert code == 1
    assert len(said) == 1
    assert "File too large; raise the limit on the size of files or choose another output folder" in said[0]
    assert not list((tmp_path / "out").rglob(".writing-*"))
    assert run("segment", folder, "-o", tmp_path / "out", "--resume")[0] == 0


_UNSENT = "nucleate: cannot write to the standard output: No space left on device; free space or send it elsewhere\n"


@pytest.mark.parametrize(
    ("call", "code", "said", "unbuffered"),
    [
        ("evaluate in in --json out.json >/dev/full", 1, _UNSENT, "1"),
        ("models >/dev/full", 1, _UNSENT, ""),
        ("models >/dev/full", 1, _UNSENT, "1"),
        ("evaluate in in --json out.json", 0, "", "1"),
        ("models", 0, "", ""),
        ("info in gone.tif 2>/dev/null", 1, "", ""),
        ("info in gone.tif 2>/dev/null", 1, "", "1"),
        ("models >&-", 0, "", ""),
        ("segment gone.tif in -o out 2>&-", 1, "", ""),
        ("nope >&- 2>&-", 2, "", ""),
        ("nope 2>/dev/full", 2, "", ""),
        ("nope --debug 2>/dev/full", 2, "", ""),
    ],
)
def test_outputs_that_take_nothing(
    folder: Path, call: str, code: int, said: str, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    monkeypatch.chdir(folder.parent)
    reader, writer = os.pipe()
    os.close(reader)  # as of `| head`, which leaves early
    start = "import sys; from nucleate.apps.cli.entry import start; sys.argv[0] = 'nucleate'; start()"
    shell = ["sh", "-c", f'"$0" -c "$1" {call}', sys.executable, start]
    done = subprocess.run(shell, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (code, said)
    wanted = {"evaluate": "out.json", "segment": "out/measurements.csv"}.get(call.split()[0], "in")
    assert (folder.parent / wanted).exists()


FULL = r"""
set -e
mount -t tmpfs -o size=1m none "$OUT"
set +e
head -c 1015808 /dev/zero > "$OUT/ballast"
"$PYTHON" -c "$CODE" segment "$IN" -o "$OUT/out" 2> "$SAID/first"; echo $? > "$SAID/code"
ls -A "$OUT/out" > "$SAID/left"
rm "$OUT/ballast"
"$PYTHON" -c "$CODE" segment "$IN" -o "$OUT/out" --resume 2> "$SAID/second" && cp -r "$OUT/out" "$SAID/out"
"""


def test_a_disk_that_is_full(folder: Path, tmp_path: Path) -> None:
    disk, said, whole = tmp_path / "disk", tmp_path / "said", tmp_path / "whole"
    disk.mkdir()
    said.mkdir()
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("a small disk of one's own cannot be made here: no unshare(1), or not allowed")
    assert run("segment", folder, "-o", whole)[0] == 0
    names = {"OUT": disk, "IN": folder, "SAID": said, "PYTHON": sys.executable}
    named = {name: str(path) for name, path in names.items()} | {"CODE": f"{PROGRAM}; fakes.run(sys.argv[1:])"}
    made = subprocess.run(["unshare", "-rm", "sh", "-c", FULL], env=os.environ | named, check=False, timeout=240)
    if not (said / "code").exists():
        pytest.skip(f"a small disk of one's own cannot be mounted here: code {made.returncode}")
    lines = (said / "first").read_text().splitlines()
    assert (said / "code").read_text() == "1\n"
    assert len(lines) == 1
    assert "No space left on device; free space or choose another output folder" in lines[0]
    assert lines[0].endswith("; what is finished is kept, go on with --resume")
    assert "writing" not in (said / "left").read_text()
    assert contents(said / "out") == contents(whole)
