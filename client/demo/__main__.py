"""Who is in the picture? ``python -m client.demo [PEOPLE [PICTURE]]``, or ``make demo``.

Enrols the people of a folder (a folder for each, named like the person), searches a picture for
them, prints whom it found and draws the names into the picture. What it enrols it deletes at the
end. Without PEOPLE and PICTURE it takes scikit-image's sample face, so that it works anywhere; and
where no service answers, it starts one for itself.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.cli import draw
from client.cli.arguments import number
from client.demo.people import Person, people_in, sample_people, sample_scene, scene_of
from client.errors import UnreadableError
from client.pipeline.answer import FaceAnswer
from client.rest.exchange import DEFAULT_URL
from client.rest.face_service import FaceService
from client.rest.records import FaceServiceError, FoundFace, FoundUser, NoAnswerError
from client.rest.user_ids import user_id_of
from client.terminal.command import run_command
from client.terminal.console import open_console
from client.terminal.table import FittingTable

FOUND, FAILED, WRONG_USAGE = 0, 1, 2
MOST_PICTURES = 20  # that a user may have
MOST_FACES = 50
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Recognised:
    """A face of the picture, and who is most like it; user: None where no score reaches it."""

    face: FoundFace
    best: FoundUser | None
    name: str | None

    @property
    def caption(self) -> str:
        """For the picture: OpenCV's letters are ASCII."""
        name = (self.name or "?").encode("ascii", "replace").decode("ascii")
        return f"{name} {self.best.score:.0f}" if self.name and self.best else name


def main(argv: Sequence[str]) -> int:
    """The exit status: 0 when somebody was recognised, 1 when not, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    console = open_console()
    try:
        people = people_in(arguments.people, MOST_PICTURES) if arguments.people else sample_people()
        scene = scene_of(arguments.picture) if arguments.picture else sample_scene()
        pixels = draw.upright(scene, str(arguments.picture or "the sample"))
        with _service(arguments, console) as service:
            recognised = _Demo(service, console, arguments.threshold).run(people, scene)
        _show(recognised, console)
        faces = [FaceAnswer(box, 1.0) for box in (_box(one) for one in recognised)]
        captions = [one.caption for one in recognised]
        draw.write(arguments.out, draw.draw_faces(pixels, faces, captions))
    except (FileNotFoundError, ValueError) as error:
        return _fail(str(error), WRONG_USAGE)
    except (FaceServiceError, UnreadableError) as error:
        return _fail(error.message, FAILED)
    except (OSError, RuntimeError) as error:
        return _fail(str(error), FAILED)
    console.print(f"drawn into {escape(str(arguments.out))}")
    return FOUND if any(one.name for one in recognised) else FAILED


def _fail(text: str, status: int) -> int:
    print(f"demo: {text}", file=sys.stderr)
    return status


class _Demo:
    """One run, in a group of its own that is gone afterwards."""

    def __init__(self, service: FaceService, console: Console, threshold: float) -> None:
        self._service = service
        self._console = console
        self._threshold = threshold
        self._group = f"demo_{secrets.token_hex(8)}"

    def run(self, people: Sequence[Person], scene: bytes) -> list[Recognised]:
        self._service.create_group(self._group)
        try:
            with self._console.status("enrolling"):
                names, enrolled = self._enrol(people)
            if not enrolled:
                raise RuntimeError("none of the pictures could be enrolled")
            with self._console.status("searching"):
                # Everybody's score is asked for, so that a stranger's can be shown as well.
                found = self._service.multi_search(
                    scene, self._group, max_faces=MOST_FACES, threshold=0.0
                )
        finally:
            self._service.delete_group(self._group)
        return [self._recognised(face, names) for face in found]

    def _enrol(self, people: Sequence[Person]) -> tuple[dict[str, str], int]:
        """The people's names by their ids, and how many pictures were enrolled."""
        names, total = {}, 0
        table = FittingTable().words("person").figures("pictures").words("refused")
        for person in people:
            user = user_id_of(person.name)
            names[user] = person.name
            refused = []
            for title, picture in person.pictures:
                try:
                    self._service.add(picture, self._group, user)
                except NoAnswerError:
                    raise
                except FaceServiceError as error:
                    refused.append(f"{title}: {error.message}")
            enrolled = len(person.pictures) - len(refused)
            total += enrolled
            table.add_row(escape(person.name), str(enrolled), escape("\n".join(refused)))
        self._console.print(table)
        return names, total

    def _recognised(self, face: FoundFace, names: dict[str, str]) -> Recognised:
        best = face.users[0] if face.users else None
        known = best is not None and best.score >= self._threshold
        return Recognised(face, best, names[best.user] if best is not None and known else None)


def _show(recognised: Sequence[Recognised], console: Console) -> None:
    if not recognised:
        console.print("no face in the picture")
        return
    table = FittingTable().figures("face").names("box (pixels)").words("who").figures("score")
    for position, one in enumerate(recognised, 1):
        box = " ".join(f"{value:.0f}" for value in _box(one))
        score = "" if one.best is None else f"{one.best.score:.1f}"
        table.add_row(str(position), box, escape(one.name or "nobody"), score)
    console.print(table)


def _box(one: Recognised) -> tuple[float, float, float, float]:
    if one.face.location is None:
        raise ValueError("the service did not say where the face is")
    return one.face.location.box


@contextlib.contextmanager
def _service(arguments: argparse.Namespace, console: Console) -> Iterator[FaceService]:
    """The service that answers at the address, or one that is ended with the block."""
    with FaceService(arguments.url or DEFAULT_URL, arguments.key, arguments.app) as service:
        try:
            service.health()
        except NoAnswerError as error:
            if arguments.url or error.kind != "unreachable":
                raise
        else:
            yield service
            return
    # Only here: whoever has a service needs nothing of what starts one.
    from runtime.launch import started
    from runtime.ports import free_ports

    port = free_ports()[0]

    def change(settings: dict[str, object]) -> None:
        settings["gateway"] = {"port": port}
        # The operator's database is not for a demo; this one goes with the temporary folder.
        settings["library"] = {"database": "sqlite:///demo.db"}

    with contextlib.ExitStack() as stack:
        with console.status("no service answers: starting one for the demo"):
            stack.enter_context(started(ROOT / "config.yml", change))
        yield stack.enter_context(FaceService(f"http://127.0.0.1:{port}"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m client.demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("people", nargs="?", type=Path, metavar="PEOPLE", help="a folder with a folder per person")
    add("picture", nargs="?", type=Path, metavar="PICTURE", help="in which they are looked for")
    add(
        "--out",
        type=Path,
        default=Path("out/demo.png"),
        metavar="FILE",
        help="default: %(default)s",
    )
    add("--url", metavar="URL", help=f"of the service (default: {DEFAULT_URL}, or one of its own)")
    add("--key", help="API key, where the service asks for one")
    add("--app", help="in which to enrol, for keys that may choose")
    add(
        "--threshold", type=number(float, 0, 100), default=80.0, metavar="SCORE",
        help="from which on a face has a name (default: 80)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
