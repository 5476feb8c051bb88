"""What operations ask: the pipeline, the library, pictures at URLs, tokens of detected faces."""
