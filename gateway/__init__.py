"""The REST gateway: the HTTP interfaces that applications call, over the pipeline and the library."""
