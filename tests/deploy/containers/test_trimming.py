"""What is taken from an image's environment, and what is not."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import pytest

from deploy.containers import trimming


def put(file, content=b"x"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def test_tests_headers_and_samples_go_and_the_packages_stay(tmp_path):
    gone = [
        put(tmp_path / "pandas" / "tests" / "frame" / "test_it.py"),
        put(tmp_path / "paddle" / "include" / "paddle.h"),
        put(tmp_path / "cv2" / "data" / "faces.xml"),
        put(tmp_path / "paddle_serving_server/pipeline/gateway/libproxy_server.so"),
    ]
    kept = [
        put(tmp_path / "pandas" / "core.py"),
        put(tmp_path / "numpy" / "testing" / "__init__.py"),
        put(tmp_path / "pandas" / "tests.py"),
        put(tmp_path / "tests" / "__init__.py"),
    ]
    trimming.remove_unused(tmp_path)
    assert not any(file.exists() for file in gone)
    assert all(file.exists() for file in kept)


@pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("strip")), reason="no compiler here")
def test_symbols_go_but_not_from_what_has_libraries_of_its_own(tmp_path):
    source = tmp_path / "a.c"
    source.write_text("int answer(void) { return 42; }\n")
    plain, moved = tmp_path / "plain.so", tmp_path / "moved.so"
    library = tmp_path / "pillow.libs" / "libjpeg.so"
    paddle = tmp_path / "paddle" / "base.so"
    for file, more in (
        (plain, ()), (moved, ("-Wl,-rpath,$ORIGIN/pillow.libs",)), (library, ()), (paddle, ())
    ):  # fmt: skip
        file.parent.mkdir(exist_ok=True)
        subprocess.run(["gcc", "-g3", "-shared", "-o", file, source, *more], check=True)
    before = {file: file.stat().st_size for file in (plain, moved, library, paddle)}
    trimming.strip(tmp_path)
    assert plain.stat().st_size < before[plain]
    for file in (moved, library, paddle):
        assert file.stat().st_size == before[file]


def test_what_is_imported_is_compiled_and_is_used_whatever_the_files_times_are(
    tmp_path, monkeypatch
):
    (tmp_path / "first_of_two.py").write_text("import second_of_two\n")
    second = tmp_path / "second_of_two.py"
    second.write_text("word = 'compiled'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    before = set(sys.modules)
    try:
        assert trimming.compile_imported(["first_of_two"]) >= 2
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]
    # A newer source with other words: the compiled file counts.
    second.write_text("word = 'another one'\n")
    done = subprocess.run(
        [sys.executable, "-c", "import second_of_two; print(second_of_two.word)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "compiled\n"


def test_every_program_that_is_compiled_is_there():
    for name in trimming.PROGRAMS:
        assert importlib.util.find_spec(name) is not None, name
