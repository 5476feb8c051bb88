"""A model on a device, run the fastest way that is right: predictors of it for threads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inference.engines.base import OPENVINO, REFERENCE, EngineError, Network, Predictor, Way
from inference.engines.choice import AUTO, candidates, refusal, worth_a_line
from inference.manifest import Manifest, ManifestError
from inference.processor import processor_flags

__all__ = ["Model", "Predictor"]


class Model:
    """A converted model on one device.

    way: how it is run. notes: a line for each way that should have been taken and could not be.
    """

    def __init__(
        self,
        manifest: Manifest,
        network: Network,
        device: str,
        way: Way = REFERENCE,
        notes: Sequence[str] = (),
    ) -> None:
        self.manifest = manifest
        self.device = device
        self.way = way
        self.notes = tuple(notes)
        self._network = network

    @classmethod
    def load(
        cls, model_dir: str | Path, device: str = "cpu", threads: int = 1, way: Way = REFERENCE
    ) -> Model:
        """Load models/NAME as `convert` wrote it, to be run this way, verified or not.

        device: "cpu", "gpu:N" or "gpu:UUID". threads: that compute one run on the processor.
        Raises ManifestError where files are missing or cannot be loaded, DeviceError for a device
        that is not there, EngineError for an engine that is not.
        """
        manifest = Manifest.load(model_dir)
        manifest.check_files()
        return cls(manifest, _network(manifest, way, device, threads, 1, 1), device, way)

    @classmethod
    def choose(
        cls,
        model_dir: str | Path,
        device: str = "cpu",
        threads: int = 1,
        *,
        engine: str = AUTO,
        precision: str = AUTO,
        batch_size: int = 1,
        streams: int = 1,
    ) -> Model:
        """The same, the fastest way that fits `engine` and `precision`.

        On the processor only one for which the model was verified, and which the processor has.
        batch_size: the largest. streams: threads that will have a predictor.
        Raises EngineError, too, where nothing that was asked for is possible.
        """
        manifest, flags = Manifest.load(model_dir), processor_flags()
        # Whatever runs: it is the model that the other forms were compared to, and Paddle may end
        # the process on a damaged file.
        manifest.check_files()
        passed_over: list[tuple[Way, str]] = []
        for way in candidates(engine, precision, device):
            problem = refusal(manifest, way, flags) if device == "cpu" else ""
            if not problem:
                try:
                    network = _network(manifest, way, device, threads, batch_size, streams)
                except ManifestError as error:
                    # Nothing stands in for Paddle's own files.
                    if way.engine != OPENVINO:
                        raise
                    problem = str(error)
                else:
                    notes = [
                        f"{manifest.name}: {reason}; {way} is used instead of {wanted}"
                        for wanted, reason in passed_over
                        if worth_a_line(wanted, way)
                    ]
                    return cls(manifest, network, device, way, notes)
            passed_over.append((way, problem))
        told = "; ".join(f"{way}: {problem}" for way, problem in passed_over)
        raise EngineError(
            f"{manifest.name} cannot be run with engine {engine} and precision {precision}: {told}"
        )

    def predictor(self) -> Predictor:
        """A predictor for one more thread; the weights are shared."""
        return self._network.predictor()


def _network(
    manifest: Manifest, way: Way, device: str, threads: int, batch_size: int, streams: int
) -> Network:
    # Loaded where it is needed: a process whose models all run on one engine does without the
    # other's hundred megabytes.
    if way.engine == OPENVINO:
        from inference.engines.openvino_engine import OpenVinoNetwork

        manifest.check_openvino()
        return OpenVinoNetwork(manifest, threads, way.precision, streams)
    from inference.engines.paddle_engine import PaddleNetwork

    return PaddleNetwork(manifest, device, threads, way, batch_size)
