"""Libraries of people for tests: databases, Milvus, commands, other processes."""
