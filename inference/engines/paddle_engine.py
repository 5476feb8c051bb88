"""Paddle Inference: a model is loaded once, every thread gets a clone of its predictor.

Paddle Serving's own `LocalServiceHandler` hands one predictor to all threads of an op, which
corrupts tensors under load and then ends the process; clones share the weights and are safe.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from inference.devices import check_device, gpu_number
from inference.engines.base import (
    BF16,
    FP16,
    REFERENCE,
    TENSORRT,
    EngineError,
    Network,
    Predictor,
    Way,
)
from inference.manifest import Manifest, ManifestError

_LOAD = threading.Lock()
# Megabytes that it takes of a GPU at first.
_GPU_MB = 100
# Operators that Paddle computes in bf16. Without such a list it would take all that oneDNN knows,
# and PReLU then fails when it is run.
BF16_OPERATORS = frozenset({"conv2d", "fused_conv2d", "depthwise_conv2d", "fc", "matmul_v2"})
_WORKSPACE = 1 << 28  # bytes of a GPU that TensorRT may try its kernels with
_LEAST_SUBGRAPH = 3  # operators; fewer are not worth a change of engine (Paddle's default)
# Where built engines are kept, below a model's directory: building takes minutes.
_BUILT = "tensorrt"
# Paddle warns of a compiler's cache that nothing here would use.
warnings.filterwarnings("ignore", "No ccache found")


class PaddlePredictor(Predictor):
    """One clone."""

    def __init__(self, predictor: Any, manifest: Manifest) -> None:
        self._predictor = predictor
        self._inputs = {v.alias: predictor.get_input_handle(v.name) for v in manifest.inputs}
        self._outputs = {v.alias: predictor.get_output_handle(v.name) for v in manifest.outputs}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for alias, handle in self._inputs.items():
            handle.copy_from_cpu(feeds[alias])
        self._predictor.run()
        return {alias: handle.copy_to_cpu() for alias, handle in self._outputs.items()}


class PaddleNetwork(Network):
    """A model in Paddle, on the processor or a GPU, there by itself or with TensorRT."""

    def __init__(
        self,
        manifest: Manifest,
        device: str = "cpu",
        threads: int = 1,
        way: Way = REFERENCE,
        batch_size: int = 1,
    ) -> None:
        """threads: math threads on the processor. batch_size: the largest, for TensorRT.

        Raises DeviceError for a device that is not there, EngineError for an engine that this
        Paddle does not have, and ManifestError for files that cannot be loaded.
        """
        check_device(device)
        import paddle
        from paddle import inference

        # Its handlers print a traceback on SIGTERM and end the process at once.
        paddle.disable_signal_handler()

        config = inference.Config(str(manifest.program_path), str(manifest.parameters_path))
        config.disable_glog_info()
        config.switch_ir_optim(True)
        config.enable_memory_optim()
        if device == "cpu":
            configure_processor(config, threads, way.precision)
        else:
            configure_gpu(config, inference, manifest, gpu_number(device), way, batch_size)
        try:
            with _LOAD:
                self._first: Any = inference.create_predictor(config)
        except Exception as error:  # Paddle's own types come from C++ and differ by build
            raise ManifestError(
                f"{manifest.program_path}: cannot be loaded; make it again with: "
                f".venv/bin/python -m convert --force {manifest.name}"
            ) from error
        self._manifest = manifest
        self._first_given = False

    def predictor(self) -> Predictor:
        with _LOAD:
            if not self._first_given:
                self._first_given = True
                return PaddlePredictor(self._first, self._manifest)
            clone = self._first.clone()
        return PaddlePredictor(clone, self._manifest)


def configure_processor(config: Any, threads: int, precision: str) -> None:
    """Settings of Paddle's `config` for the processor. precision: fp32 or bf16."""
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(threads)
    config.enable_mkldnn()
    # With a bound on oneDNN's cache (10 by default) every run counts the cache of all
    # predictors without a lock and, with several threads, ends in a segmentation
    # fault. Batch sizes are few, so the cache stays small without a bound.
    config.set_mkldnn_cache_capacity(0)
    if precision == BF16:
        config.enable_mkldnn_bfloat16()
        config.set_bfloat16_op(set(BF16_OPERATORS))


def configure_gpu(
    config: Any, paddle_inference: Any, manifest: Manifest, number: int, way: Way, batch_size: int
) -> None:
    """Settings of Paddle's `config` for a GPU. paddle_inference: the module `paddle.inference`.

    Raises EngineError for TensorRT where this Paddle is built without it.
    """
    kinds = paddle_inference.PrecisionType
    kind = kinds.Half if way.precision == FP16 else kinds.Float32
    if way.engine != TENSORRT:
        config.enable_use_gpu(_GPU_MB, number, kind)
        return
    if tuple(paddle_inference.get_trt_compile_version()) == (0, 0, 0):
        raise EngineError("this Paddle is built without TensorRT")
    config.enable_use_gpu(_GPU_MB, number)
    largest = min(batch_size, manifest.max_batch or batch_size)
    shapes = {spec.name: spec.shape[1:] for spec in manifest.inputs}
    least = {name: [1, *shape] for name, shape in shapes.items()}
    most = {name: [largest, *shape] for name, shape in shapes.items()}
    config.enable_tensorrt_engine(
        workspace_size=_WORKSPACE,
        max_batch_size=largest,
        min_subgraph_size=_LEAST_SUBGRAPH,
        precision_mode=kind,
        use_static=True,
        use_calib_mode=False,
    )
    # A stage makes full batches under load, which is when its speed counts.
    config.set_trt_dynamic_shape_info(least, most, most)
    # Engines for other sizes have other names, but not those of another precision.
    config.set_optim_cache_dir(str(manifest.directory / _BUILT / f"{way.precision}-{largest}"))
