"""The storage of indexes that the settings name."""

from __future__ import annotations

from library.sync.index_storage import IndexStorage
from library.sync.memory_storage import MemoryStorage
from settings.library import LibraryConfig


def open_storage(config: LibraryConfig) -> IndexStorage:
    """The storage for the kind of index that is configured."""
    if config.index.kind != "milvus":
        return MemoryStorage(config)
    # Its client takes half a second to import.
    from library.sync.milvus_storage import MilvusStorage

    return MilvusStorage(config)
