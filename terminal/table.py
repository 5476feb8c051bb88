from client.terminal.table import *  # noqa: F403
