"""Fixtures of the tests of libraries: databases of each system, Milvus, libraries with people."""

from tests.support.libraries.databases import (  # noqa: F401 - fixtures
    database_url,
    store,
)
from tests.support.libraries.milvus_server import (  # noqa: F401 - fixtures
    index,
    lite_index,
    milvus_file,
    milvus_place,
    milvus_server,
    open_index,
    patient,
    shared_indexes,
)
from tests.support.libraries.shop import staffed  # noqa: F401 - a fixture
