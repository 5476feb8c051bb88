"""Start the face recognition service: ``python web_service.py [--config config.yml]``.

It starts the pipeline, prints ``ready`` when it answers, and ends it on SIGTERM or Ctrl-C, after
the requests under way. Exit status 0 after a clean end, 1 when a
process of the service died, 2 for a configuration that cannot be used.
"""

from __future__ import annotations

import argparse
import sys

from ops.config import Config, ConfigError, load_config
from ops.supervisor import Supervisor


def main() -> int:
    """Serve until a signal; the exit status."""
    parser = argparse.ArgumentParser(description="Face recognition service")
    parser.add_argument("--config", default="config.yml", help="settings (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config)
        say_models(config)
        return Supervisor(config).run()
    except ConfigError as error:
        print(f"web_service: {error}", file=sys.stderr)
        return 2


def say_models(config: Config) -> None:
    """A line for each stage that runs its fallback; ConfigError for a model that is missing."""
    for name, op in config.op.items():
        for wanted, chosen in zip(op.models, config.chosen_models(name)):
            if chosen.name != wanted:
                print(f"{name}: {wanted} has not been converted, {chosen.name} is used", flush=True)


if __name__ == "__main__":
    sys.exit(main())
