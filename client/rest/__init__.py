"""The client of the REST interfaces, plain and with asyncio: calls, answers, errors, user ids."""
