"""Devices as predictors are asked for them; there is no GPU here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from inference.devices import DeviceError, check_device, gpu_number

ROOT = Path(__file__).resolve().parents[2]
MIG = "MIG-5a2b1c3d-0000-4000-8000-00000000000a"
GPU = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"


def test_a_number_is_the_processs_own_number():
    assert gpu_number("gpu:3") == 3


def test_a_uuid_has_the_number_of_its_place_among_what_the_process_is_shown(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"{GPU},{MIG}")
    assert [gpu_number(f"gpu:{one}") for one in (GPU, MIG)] == [0, 1]


def test_a_uuid_that_the_process_is_not_shown_is_named(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(DeviceError, match=MIG):
        gpu_number(f"gpu:{MIG}")


def test_a_machine_without_gpus_says_so_of_a_mig_instance():
    with pytest.raises(DeviceError, match=f"gpu:{MIG} was asked for"):
        check_device(f"gpu:{MIG}")


# In Paddle's place: it says what CUDA would show the process, and ends it.
STANDS_IN = """
import os
os.write(1, os.environ.get("CUDA_VISIBLE_DEVICES", "").encode())
os._exit(7)
"""


@pytest.mark.parametrize("replica", [0, 1])
def test_cuda_is_told_the_mig_instance_of_a_replica_before_paddle_is_loaded(
    tmp_path, models, replica
):
    other = MIG.replace("a", "b")
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["replicas"] = 2
    settings["models_dir"] = str(models)
    settings["op"]["Detection"]["devices"] = f"{MIG},{other}"
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    (tmp_path / "paddle").mkdir()
    (tmp_path / "paddle" / "__init__.py").write_text(STANDS_IN)
    done = subprocess.run(
        [sys.executable, "-m", "ops.serving", str(config), str(replica)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert (done.stdout.split(), done.returncode) == ([[MIG, other][replica]], 7)
