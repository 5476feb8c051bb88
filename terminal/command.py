from client.terminal.command import *  # noqa: F403
