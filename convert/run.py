"""One run of ``python -m convert``: which models are made, in which order, and what is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convert.catalog import Catalog, Entry
from convert.errors import BusyError, ConvertError
from convert.model_directory import is_intact, is_up_to_date, is_usable, locked
from convert.sources.fetch import CACHE_DIR, Fetcher
from convert.terminal import CONSOLE
from settings.licences import ANY, COMMERCIAL


class Run:
    """Converts models into ``models_dir``; hosts that did not answer are not asked twice.

    licence: "commercial" refuses models whose weights may not be used commercially.
    """

    def __init__(
        self,
        catalog: Catalog,
        models_dir: Path,
        *,
        force: bool = False,
        licence: str = ANY,
        cache_dir: Path = CACHE_DIR,
    ) -> None:
        self.catalog = catalog
        self.models_dir = models_dir
        self.force = force
        self.licence = licence
        self.fetcher = Fetcher(catalog, cache_dir)

    def is_converted(self, entry: Entry) -> bool:
        """Whether the model is there, intact and as the catalog wants it."""
        return is_intact(self.models_dir / entry.name, entry)

    def complete_each(self) -> None:
        """Add what other engines need to every model that is there; raises BusyError."""
        for entry in self.catalog.models.values():
            self._complete(entry)

    def _complete(self, entry: Entry) -> bool:
        """Add what other engines need to a model that is there; whether anything was missing.

        So it is with models of an older version, and on a processor that can do more than the one
        that they were converted on. Raises BusyError.
        """
        from convert.engines.completing import complete_in_place, missing_ways
        from inference.manifest import ManifestError

        model_dir = self.models_dir / entry.name
        try:
            # Most are complete: their own files need not be read for that.
            if not missing_ways(model_dir) or not self.is_converted(entry):
                return False
        except ManifestError:
            return False
        with locked(self.models_dir), CONSOLE.status(f"{entry.name}: trying other engines"):
            ways = complete_in_place(model_dir)
        CONSOLE.print(f"{entry.name}: verified for {', '.join(ways)}")
        return True

    def convert_default(self) -> None:
        """Make what set-up needs; a model that cannot be had is replaced by its fallback.

        What is there already stays in use, be it the fallback or of an older version: taking
        another recogniser some day by itself would make all stored embeddings worthless.
        Raises ConvertError.
        """
        if not self.force:
            self.complete_each()
        for entry in self.catalog.default_entries():
            choice = [entry, *self.catalog.stand_ins(entry)]
            allowed = [one for one in choice if not self._refuses(one)]
            if not allowed:
                raise ConvertError(f"{self._refusal(entry)}, and nothing takes its place")
            used = None if self.force else next(filter(self._is_usable, allowed), None)
            if used is None:
                taken = self._first_of(allowed)
            else:
                taken = used
                self._bring_up_to_date(used)
            if self._refuses(entry):
                CONSOLE.print(f"{self._refusal(entry)}; {taken.name} takes its place")
            elif used not in (None, entry):
                CONSOLE.print(
                    f"{taken.name} stands in for {entry.name}; "
                    f"to try that again: .venv/bin/python -m convert {entry.name}"
                )

    def _is_usable(self, entry: Entry) -> bool:
        return is_usable(self.models_dir / entry.name, entry)

    def _bring_up_to_date(self, entry: Entry) -> None:
        """Make a model again that is not what the catalog says now; else it stays as it is."""
        if is_up_to_date(self.models_dir / entry.name, entry):
            return
        try:
            self.convert(entry)
        except BusyError:
            raise
        except ConvertError as error:
            CONSOLE.print(f"{entry.name} stays as an earlier version made it: {error}")

    def _refuses(self, entry: Entry) -> bool:
        return self.licence == COMMERCIAL and not entry.licence.commercial

    def _refusal(self, entry: Entry) -> str:
        return f"{entry.name} is refused by licence: {self.licence} ({entry.licence.name})"

    def _first_of(self, choice: Sequence[Entry]) -> Entry:
        """The first of some models that can be had, made. Raises ConvertError."""
        for wanted, stand_in in zip(choice, [*choice[1:], None]):
            try:
                self.convert(wanted)
                return wanted
            except BusyError:
                raise
            except ConvertError as error:
                if stand_in is None:
                    raise
                CONSOLE.print(f"Falling back to {stand_in.name} for {wanted.name}: {error}")
        raise ConvertError("there is no model to take")

    def allowed(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that the licence allows, with a line for each other one."""
        for entry in entries:
            if self._refuses(entry):
                CONSOLE.print(self._refusal(entry))
        return [entry for entry in entries if not self._refuses(entry)]

    def convert_each(self, entries: Sequence[Entry], source: Path | None = None) -> list[str]:
        """Make every model that is not intact; the names of those that failed.

        One model's failure is a line, and the others are still made.
        """
        failed = []
        for entry in entries:
            if self._refuses(entry):
                CONSOLE.print(self._refusal(entry), style="red")
                failed.append(entry.name)
                continue
            if not self.force and source is None and self.is_converted(entry):
                if not self._complete(entry):
                    CONSOLE.print(f"{entry.name}: already converted")
                continue
            try:
                self.convert(entry, source)
            except ConvertError as error:
                CONSOLE.print(f"{entry.name}: {error}", style="red")
                failed.append(entry.name)
        return failed

    def convert(self, entry: Entry, source: Path | None = None) -> None:
        """Make one model, whether or not it is there; raises ConvertError."""
        with locked(self.models_dir):
            # Imported late: Paddle takes seconds, and a run without work takes none.
            from convert.conversion import convert

            convert(entry, self.models_dir, self.fetcher, source=source)
        licence = "" if entry.licence.commercial else ", not for commercial use"
        CONSOLE.print(f"{entry.name}: converted and verified ({entry.licence.name}{licence})")
