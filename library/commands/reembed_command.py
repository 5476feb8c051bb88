"""``python -m library reembed``: moves an app to another recogniser, by its stored pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import click
import numpy as np

from client.pipeline.answer import Options
from library.commands import options
from library.commands.index_access import discard_index
from library.commands.service_client import Asker, PictureError
from library.commands.session import DONE, Advance, CommandError, Session
from library.store.store import Store

_AHEAD = 3


@click.command("reembed")
@click.option("--model", required=True, help="The recogniser that the service runs.")
@options.APP
@options.SERVICE
@options.TIMEOUT
@options.CONCURRENCY
@options.with_session
def run(
    session: Session, model: str, app: str, service: str, timeout: float, concurrency: int
) -> int:
    """Move an app to the service's recogniser, by its pictures.

    What is interrupted is continued where it was by the same command.
    """
    transport = session.connect(service, timeout)
    wanted = Options(want=("embedding",), embedding_format="base64", aligned=True)
    asker = Asker(transport, wanted)
    try:
        with session.store() as store, session.bar("faces") as advance:
            work = _Work(store, asker, app, model)
            embeddings = work.embeddings(concurrency, advance)
            before = store.versions(app).get(app)
            faces = store.replace_embeddings(app, model, embeddings)
            if before is not None and before.model != model:
                discard_index(session, app, before)
    finally:
        transport.close()
    session.out.print(
        f"{faces} faces of app {app} are of {model} now, "
        f"{work.done} of them from their pictures in this run"
    )
    return DONE


class _Work:
    """Asks for the new embeddings. done: how many there are."""

    def __init__(self, store: Store, asker: Asker, app: str, model: str) -> None:
        self._store = store
        self._asker = asker
        self._app = app
        self._model = model
        self.done = 0

    def embeddings(self, concurrency: int, advance: Advance) -> Iterator[tuple[str, np.ndarray]]:
        """(token, embedding) of the faces that have none of the model yet."""
        total = self._store.statistics(self._app).faces
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="reembed")
        under_way: deque[tuple[str, Future[np.ndarray]]] = deque()
        try:
            for token, png in self._store.crops(self._app, self._model):
                under_way.append((token, pool.submit(self._embedding, token, png)))
                if len(under_way) > _AHEAD * concurrency:
                    yield self._next(under_way, advance, total)
            while under_way:
                yield self._next(under_way, advance, total)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _next(
        self, under_way: deque[tuple[str, Future[np.ndarray]]], advance: Advance, total: int
    ) -> tuple[str, np.ndarray]:
        token, waiting = under_way.popleft()
        embedding = waiting.result()
        self.done += 1
        advance(self.done, max(total, self.done))
        return token, embedding

    def _embedding(self, token: str, png: bytes) -> np.ndarray:
        try:
            seen = self._asker.faces(png)
        except PictureError as error:
            raise CommandError(f"the stored picture of face {token}: {error}") from None
        if seen.recogniser != self._model:
            raise CommandError(
                f"the service runs {seen.recogniser}, not {self._model}: set op.ArcFace in "
                "config.yml to that, start the service anew, and try again"
            )
        (face,) = seen.faces
        if face.embedding is None:
            raise CommandError(f"the service made no embedding of face {token}")
        return face.embedding
