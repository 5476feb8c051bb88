"""The service as a product on a server: checks, installation, tenants, monitoring, upgrades."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older one would stop at a line of its syntax
    sys.exit(
        "deploy: Python 3.11, 3.12 or 3.13 is needed, this is {}.{} ({})".format(  # noqa: UP032
            sys.version_info[0], sys.version_info[1], sys.executable
        )
    )
