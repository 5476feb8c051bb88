"""Start the face recognition service: ``python web_service.py [--config config.yml]``.

With ``--role pipeline`` or ``--role gateway`` only that part, where the other is elsewhere.
It starts the pipeline and the gateway, prints ``ready`` when they answer, and ends them on SIGTERM
or Ctrl-C, after the requests under way. Exit status 0 after a clean end, 1 when a process died
before the service was ready or it was not ready in time, 2 for a configuration that cannot be used,
or data that another service uses. A process that dies later is started again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from client.terminal.command import outlive_readers
from runtime.data_lock import DataLock, data_files
from runtime.listening import check_places
from runtime.roles import Role, with_role
from runtime.supervisor import Supervisor
from settings.config import Config, ConfigError, load_config
from settings.licences import licence_of
from terminal.options import SETTINGS, config_option, run_program

# Seconds within which the children of a service that was killed are gone, and with them its ports.
_CHILDREN_END_S = 15.0


def main() -> int:
    """Serve until a signal; the exit status."""
    return run_program(program, sys.argv[1:], "web_service.py")


@click.command(context_settings=SETTINGS, help="The face recognition service.")
@config_option
@click.option("--role", type=click.Choice([one.value for one in Role]), default=Role.ALL.value,
              help="What runs here. pipeline: no gateway; gateway: no pipeline, those of "
              "gateway.pipelines are asked; all: both.")  # fmt: skip
def program(config: Path, role: str) -> int:
    """Serve until a signal; the exit status."""
    outlive_readers()
    try:
        return serve(load_config(config), Role(role))
    except ConfigError as error:
        print(f"web_service: {error}", file=sys.stderr)
        return 2


def serve(config: Config, role: Role = Role.ALL) -> int:
    """The same with these settings, or the part of it. Raises ConfigError."""
    path = config.path
    config = with_role(config, role)
    lock = DataLock(data_files(config))
    was_killed = take(lock)
    try:
        if config.replicas:
            say_models(config)
        if was_killed:
            wait_for_ports(config)
        return Supervisor(config, lambda: with_role(load_config(path), role)).run()
    finally:
        lock.release()


def take(lock: DataLock) -> bool:
    """Take the data; whether its last service was killed. ConfigError where another one has it."""
    try:
        return lock.take()
    except OSError as error:
        # Where nothing can be written no service can do harm to another one's data.
        print(
            f"web_service: {error.filename}: {error.strerror}; a second service on this data "
            "would not be noticed",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        return False


def wait_for_ports(config: Config) -> None:
    """Wait for the ports of a service that was killed; whoever needs them says what is wrong."""
    give_up = time.monotonic() + _CHILDREN_END_S
    while time.monotonic() < give_up:
        try:
            check_places(config)
        except ConfigError:
            time.sleep(0.1)
        else:
            return


def say_models(config: Config) -> None:
    """A line for each stage that runs its fallback, and one for models that are for research only.

    Raises ConfigError for a model that is missing.
    """
    bound = []
    for name, op in config.op.items():
        for wanted, chosen in zip(op.models, config.chosen_models(name)):
            licence, is_commercial = licence_of(chosen)
            if not is_commercial:
                bound.append(f"{chosen.name} ({licence})")
            if chosen != config.model_dir(wanted):
                why = "has not been converted"
                if (config.model_dir(wanted) / "model.yml").is_file():
                    said = licence_of(config.model_dir(wanted))[0]
                    why = f"is refused by licence: {config.licence} ({said})"
                print(f"{name}: {wanted} {why}, {chosen.name} is used", flush=True)
    if bound:
        print(
            f"for research only: {', '.join(bound)}; with licence: commercial in "
            f"{config.path.name} none of these is started",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
