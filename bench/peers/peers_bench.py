"""The service against others that do the same work: ``python -m bench peers``.

Pictures as base64 in JSON over HTTP go in, and each face's box, five points and embedding come out.
Peers, each in an environment of its own that is made when it is first needed:

- insightface: its package's classes for SCRFD-500M and, as ONNX, the service's own recogniser;

- insightface-stock: the same with the threads and batches that the package has by itself;

- onnxruntime: the service's own networks, and a few lines of numpy and OpenCV;

- opencv: its FaceDetectorYN and FaceRecognizerSF, with YuNet and SFace.

Each stands behind the same thin FastAPI service with a worker a core and, but for the second, a
thread a worker. All have the same cores. They are loaded in turns by the same generator, one at a
time, the others idle; who goes first changes from round to round. Each has to find all faces of a
set before it is measured. A ratio is the median of the rounds' ratios, with the least and the most
beside it. A peer that cannot be had is left out, and it is said why.

With one request at a time p50 is the latency. ``core ms`` is the processor time of a request, which
other programs on the machine change least. Of the service only what the peers do is asked, so
that attributes and liveness cost it nothing; its gateway is not started.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.frame import CONFIG, Bench, Say, benchmark, levels, runs, seconds, several
from bench.load import generators
from bench.load.cpu import service_pids, wait_until_idle
from bench.load.figures import Load
from bench.load.pictures import PictureSet
from bench.peers import pictures as sets
from bench.peers.kinds import KINDS, embedding_size
from bench.peers.networks import MissingNetworkError
from bench.peers.running import started
from bench.peers.show import SetResult, show_memory, show_set
from bench.peers.sides import SERVICE, WANT, Side, agreement
from bench.replicas import Cores, usable_cores
from client.pipeline.wire import FaceSeen
from convert.errors import ConvertError
from runtime.affinity import on_cores
from runtime.launch import started as service_started
from settings.config import Config, load_config
from terminal.options import PATH, Count

LEVELS = (1, 16)
WARM_UP_S = 1.0


class _Run:
    def __init__(self, bench: Bench, generator: str, cores: Cores) -> None:
        self._bench, self._asked = bench, bench.asked
        self._generator, self._cores = generator, cores
        self._sides: list[Side] = []

    def run(self) -> dict[str, Any]:
        """Every side started, every set measured, what they hold; JSON-ready."""
        console = self._bench.console
        with contextlib.ExitStack() as stack:
            left_out = self._start(stack)
            say = stack.enter_context(self._bench.status("starting", redraw=False))
            results = []
            for name in self._asked.sets:
                results.append(self._measure(name, say))
                show_set(results[-1], console)
            memory = {side.name: side.memory() for side in self._sides}
            show_memory(memory, console)
        self._bench.expected["every request was answered"] = not sum(r.errors() for r in results)
        names = [side.name for side in self._sides if side.name != SERVICE]
        return {
            "generator": self._generator,
            "cores": self._cores.replicas,
            "generator_cores": self._cores.generator,
            "packages": {name: KINDS[name].packages() for name in names},
            "left_out": left_out,
            "sets": [result.to_dict() for result in results],
            "memory": memory,
        }

    def _start(self, stack: contextlib.ExitStack) -> dict[str, str]:
        """The peers that can be had, then the service; of the others, why not.

        Raises RuntimeError where there is none.
        """
        asked, cores = self._asked, self._cores.replicas
        config = load_config(asked.config)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-peers-")))
        left_out: dict[str, str] = {}
        for name in asked.peers:
            try:
                self._sides.append(self._peer(name, config, folder, stack))
            except (MissingNetworkError, ConvertError) as error:
                left_out[name] = str(error)
                self._bench.console.print(f"{name} is left out: {error}", markup=False)
        if not self._sides:
            raise RuntimeError("there is nothing to compare with")
        self._bench.notes.print(f"starting the service of {asked.config} on free ports")
        service = stack.enter_context(service_started(asked.config, cores=cores))
        pids = service_pids(service.pid)
        dim = embedding_size(config)
        self._sides.insert(0, Side(SERVICE, service.url, pids, (service.pid,), dim))
        return left_out

    def _peer(self, name: str, config: Config, folder: Path, stack: contextlib.ExitStack) -> Side:
        ready = KINDS[name].ready(config, folder, self._asked.scrfd)
        self._bench.notes.print(f"starting {name}")
        cores = self._cores.replicas
        running = stack.enter_context(started(ready.python, ready.module, ready.files, cores))
        return Side.of_peer(name, running, ready.dim)

    def _measure(self, name: str, say: Say) -> SetResult:
        asked = self._asked
        chosen, seen = self._choose(name)
        result = SetResult(name, chosen[0].title, chosen[0].faces)
        for side in self._sides[1:]:
            if not KINDS[side.name].own_networks:
                result.agreement[side.name] = agreement(seen[SERVICE], seen[side.name])
        for side in self._sides:
            say(f"{result.title}: {side.name} warms up")
            self._load(side, chosen[0], min(WARM_UP_S, asked.seconds), max(asked.levels))
        for number in range(asked.runs):
            turn = number % len(self._sides)
            for level in asked.levels:
                for side in (*self._sides[turn:], *self._sides[:turn]):
                    say(
                        f"{result.title}: round {number + 1} of {asked.runs}, {side.name}, "
                        f"{level} at once"
                    )
                    picture = chosen[number % len(chosen)]
                    result.add(level, self._load(side, picture, asked.seconds, level))
        return result

    def _choose(self, name: str) -> tuple[list[PictureSet], dict[str, list[FaceSeen]]]:
        """One picture, or one a round of a gallery; what each side sees in the last of them.

        Raises RuntimeError where a side does not see what it should: of a gallery, in all of them.
        """
        gallery, seen = self._asked.gallery, dict[str, list[FaceSeen]]()

        def check(pictures: PictureSet) -> None:
            faces = {side.name: side.faces(pictures) for side in self._sides}
            for side in self._sides:
                side.check(pictures, faces[side.name])
            seen.update(faces)

        if gallery is None:
            (pictures,) = (one.wanting(WANT) for one in sets.from_sample(name))
            check(pictures)
            return [pictures], seen
        candidates = (one.wanting(WANT) for one in sets.from_gallery(name, gallery))
        chosen = sets.chosen(candidates, self._asked.runs, partial(_holds, check))
        if not chosen:
            raise RuntimeError(f"{gallery}: no picture for {name} in which all see the same faces")
        return chosen, seen

    def _load(self, side: Side, pictures: PictureSet, seconds: float, level: int) -> Load:
        """One run, once nobody has anything else to do."""
        wait_until_idle({name: pid for one in self._sides for name, pid in one.pids.items()})
        with on_cores(self._cores.generator or self._cores.replicas):
            return side.load(self._generator, pictures, seconds, level)


def _holds(check: Callable[[PictureSet], None], pictures: PictureSet) -> bool:
    try:
        check(pictures)
    except RuntimeError:
        return False
    return True


def _in_words(cores: Cores) -> str:
    """Where everything runs."""
    listed = ", ".join(map(str, cores.replicas))
    if cores.generator:
        rest = ", ".join(map(str, cores.generator))
        return f"Each side has cores {listed}, the load generator {rest}."
    return f"Each side has cores {listed}, and shares them with the load generator."


@benchmark(
    CONFIG,
    several("--peers", type=click.Choice(list(KINDS)), default=tuple(KINDS)),
    several("--sets", type=click.Choice(sets.NAMES), default=sets.NAMES, help="Of pictures."),
    click.option("--gallery", type=PATH, metavar="DIR",
                 help="Photographs, a folder per person, instead of the sample."),
    click.option("--scrfd", type=PATH, metavar="FILE",
                 help="SCRFD-500M as published, det_500m.onnx; else it is fetched."),
    click.option("--cores", type=Count(1), default=2, help="Of each side."),
    levels(LEVELS),
    seconds(4.0),
    runs(),
    click.option("--generator", type=click.Choice(generators.HTTP),
                 show_default="the first that is here"),
    failures=(ConvertError, ValueError),
)  # fmt: skip
def main(bench: Bench) -> None:
    """Measure; nothing is held to a limit, but every request has to be answered."""
    generator = generators.available(bench.asked.generator)
    cores = usable_cores(bench.asked.cores)
    if cores is None:
        raise click.UsageError(f"There are no {bench.asked.cores} cores here.")
    if bench.asked.scrfd is not None and not bench.asked.scrfd.is_file():
        raise click.UsageError(f"--scrfd {bench.asked.scrfd}: there is no such file.")
    bench.console.print(_in_words(cores))
    bench.results = _Run(bench, generator, cores).run()
