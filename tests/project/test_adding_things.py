"""What docs/adding-things.md tells to write is all that a stage, a family and a model take."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from settings.stages import FIRST, LAST, STAGES
from tests.support.models.tiny_models import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "adding-things.md").read_text(encoding="utf-8")

# A file's name in backticks, a colon, and the block that it is about.
_STEP = re.compile(r"^`([\w./]+)`:\n\n```(python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FOLDERS = (
    *("client", "convert", "inference", "ops", "paddle_fence", "runtime"),
    *("settings", "terminal", "vision", "web"),
)
# A picture through the stages in this process, and through the service's DAG.
_ANALYSE = """
import asyncio, base64, json, sys
from ops.local import LocalPipeline
from ops.pictures.picture import PictureLimits, decode_picture
from ops.serving.executor import Executor
from settings.config import load_config

data = open(sys.argv[1], "rb").read()
pixels = decode_picture(data, PictureLimits(1 << 24, 1 << 24))
faces = LocalPipeline.from_config().analyze(pixels, want=["attributes"])

async def answer(executor):
    executor.start()
    values = [base64.b64encode(data).decode(), json.dumps({"want": ["attributes"]})]
    return (await executor.answer(["image", "options"], values)).document

executor = Executor(load_config("config.yml"))
answered = json.loads(asyncio.run(answer(executor)))
executor.stop(5)
json.dump([[face.attributes for face in faces], answered], sys.stderr)
"""


@pytest.fixture
def repository(tmp_path: Path, models: Path) -> Path:
    """A copy of what the pipeline and the converter are made of, with links to the models."""
    for folder in _FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    shutil.copy(ROOT / "config.yml", tmp_path)
    (tmp_path / "models").mkdir()
    for model in models.iterdir():
        (tmp_path / "models" / model.name).symlink_to(model)
    return tmp_path


def follow(repository: Path) -> list[str]:
    """Do what the document says; the files that it names."""
    steps = _STEP.findall(DOCUMENT)
    for name, language, content in steps:
        file = repository / name
        if language == "python":
            assert not file.exists(), f"{name} is new in the document only"
            file.write_text(content, encoding="utf-8")
            continue
        lines = content.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        after = "".join(line[1:] for line in lines if not line.startswith("-"))
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name} has another text than the document says"
        file.write_text(text.replace(before, after), encoding="utf-8")
    return [name for name, _, _ in steps]


def run(repository: Path, *arguments: str) -> str:
    """What a Python in the copy says on standard error."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=repository, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stage_and_a_family_are_a_file_and_a_line_each(repository: Path, tmp_path: Path) -> None:
    code = [name for name in follow(repository) if name.endswith(".py")]
    assert code == [
        "ops/stages/glasses.py",
        "settings/stages.py",
        "inference/adapters/glasses_net.py",
        "inference/adapters/__init__.py",
    ]
    write_tiny_model(tmp_path / "export")
    run(repository, "-m", "convert", "glasses", "--source", str(tmp_path / "export"))

    said = run(repository, "-c", _ANALYSE, str(ROOT / "docs" / "sample.jpg"))
    (local,), answer = json.loads(said.splitlines()[-1])
    (face,) = answer["images"][0]["faces"]
    assert 0 != local["glasses"] == pytest.approx(face["attributes"]["glasses"], rel=1e-3)
    assert set(face["attributes"]) == {"age", "gender", "emotion", "expression", "glasses"}
    assert answer["models"]["Glasses"] == "glasses"


def test_every_stage_runs_after_what_it_needs() -> None:
    order = list(STAGES)
    assert (order[0], order[-1]) == (FIRST, LAST)
    for stage in STAGES.values():
        assert all(order.index(need) < order.index(stage.name) for need in stage.needs)
