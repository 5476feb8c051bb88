from client.terminal.console import *  # noqa: F403
