"""The REST gateway: what applications call, over the pipeline and the library."""
