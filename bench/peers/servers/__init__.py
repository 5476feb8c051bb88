"""The peers' servers. Each runs in its peer's environment, which has nothing of the service's."""
