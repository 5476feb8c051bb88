"""What the two ways to the service have in common."""

from __future__ import annotations

import typing

from client.pipeline.answer import Answer, Options


class Transport(typing.Protocol):
    """A connection to the service; safe to use from several threads."""

    def predict(self, picture: str, options: Options) -> Answer:
        """The answer to one picture, given as base64 of its file's bytes.

        Raises ClientError: one of its subclasses, or itself with
        the service's own code where it refused the request.
        """

    def close(self) -> None:
        """Ends the connection."""
