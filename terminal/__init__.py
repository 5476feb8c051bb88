"""The names of `client.terminal` from where they were."""
