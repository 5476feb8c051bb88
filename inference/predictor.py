"""Paddle Inference: a model is loaded once, every thread gets a clone of its predictor.

Paddle Serving's own `LocalServiceHandler` hands one predictor to all threads of an op, which
corrupts tensors under load and then ends the process; clones share the weights and are safe.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from inference.manifest import Manifest, ManifestError

_LOAD = threading.Lock()
# What CUDA shows this process, in order, where it is set; see `Config.visible_devices`.
_VISIBLE = "CUDA_VISIBLE_DEVICES"
# Paddle warns of a compiler's cache that nothing here would use.
warnings.filterwarnings("ignore", "No ccache found")


class DeviceError(ValueError):
    """The device that was asked for is not there; the text says what is."""


def gpu_number(device: str) -> int:
    """The number under which this process has a GPU: of "gpu:N" or "gpu:UUID".

    Raises DeviceError for a UUID that CUDA_VISIBLE_DEVICES does not name.
    """
    identifier = device.partition(":")[2]
    if identifier.isdigit():
        return int(identifier)
    visible = os.environ.get(_VISIBLE, "").split(",")
    if identifier not in visible:
        raise DeviceError(f"{device} was asked for, but {_VISIBLE} of this process has it not")
    return visible.index(identifier)


def check_device(device: str) -> None:
    """Raise DeviceError unless this Paddle can run on `device` ("cpu", "gpu:N" or "gpu:UUID")."""
    if device == "cpu":
        return
    import paddle

    if not paddle.is_compiled_with_cuda():
        raise DeviceError(
            f"{device} was asked for, but this Paddle has no GPU support; "
            "install it with: make setup DEVICE=gpu"
        )
    number, count = gpu_number(device), paddle.device.cuda.device_count()
    if number >= count:
        raise DeviceError(f"{device} was asked for, but this process sees {count} GPU(s)")


class Predictor:
    """One clone; to be used by one thread at a time."""

    def __init__(self, predictor: object, manifest: Manifest) -> None:
        self._predictor = predictor
        self._inputs = {
            v.alias: predictor.get_input_handle(v.name)  # type: ignore[attr-defined]
            for v in manifest.inputs
        }
        self._outputs = {
            v.alias: predictor.get_output_handle(v.name)  # type: ignore[attr-defined]
            for v in manifest.outputs
        }

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model.

        feeds: alias to C-contiguous array, for every input of the manifest.
        Returns alias to array, for every output of the manifest. Releases the GIL meanwhile.
        """
        for alias, handle in self._inputs.items():
            handle.copy_from_cpu(feeds[alias])
        self._predictor.run()  # type: ignore[attr-defined]
        return {alias: handle.copy_to_cpu() for alias, handle in self._outputs.items()}


class Model:
    """A converted model on one device."""

    def __init__(self, manifest: Manifest, predictor: object, device: str) -> None:
        self.manifest = manifest
        self.device = device
        self._first = predictor
        self._first_given = False

    @classmethod
    def load(cls, model_dir: str | Path, device: str = "cpu", threads: int = 1) -> Model:
        """Load models/NAME as `convert` wrote it.

        device: "cpu", "gpu:N" or "gpu:UUID". threads: math threads on the CPU.
        Raises ManifestError where files are missing or cannot be loaded, DeviceError for a device
        that is not there.
        """
        manifest = Manifest.load(model_dir)
        # Tens of milliseconds, and Paddle may end the process on a damaged file.
        manifest.check_files()
        check_device(device)
        from paddle import inference

        config = inference.Config(str(manifest.program_path), str(manifest.parameters_path))
        config.disable_glog_info()
        config.switch_ir_optim(True)
        config.enable_memory_optim()
        if device == "cpu":
            config.disable_gpu()
            config.set_cpu_math_library_num_threads(threads)
            config.enable_mkldnn()
            # With a bound on oneDNN's cache (10 by default) every run counts the cache of all
            # predictors without a lock and, with several threads, ends in a segmentation
            # fault. Batch sizes are few, so the cache stays small without a bound.
            config.set_mkldnn_cache_capacity(0)
        else:
            config.enable_use_gpu(100, gpu_number(device))
        try:
            with _LOAD:
                predictor = inference.create_predictor(config)
        except Exception as error:  # Paddle's own types come from C++ and differ by build
            raise ManifestError(
                f"{manifest.program_path}: cannot be loaded; make it again with: "
                f".venv/bin/python -m convert --force {manifest.name}"
            ) from error
        return cls(manifest, predictor, device)

    def predictor(self) -> Predictor:
        """A predictor for one more thread; the weights are shared."""
        with _LOAD:
            if not self._first_given:
                self._first_given = True
                return Predictor(self._first, self.manifest)
            clone = self._first.clone()  # type: ignore[attr-defined]
        return Predictor(clone, self.manifest)
