"""Real database servers for tests: started in a folder of their own, ended by their process id."""

from __future__ import annotations

import abc
import glob
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Optional

import psycopg
import pymysql
import pytest
from sqlalchemy import NullPool, create_engine, inspect

from library.config import LibraryConfig
from library.store import Store
from library.tables import METADATA
from ops.process import die_with_parent

START_S = 60
# initdb looks through all time zones for the machine's own where this is not set.
ENVIRONMENT = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}


def program(name: str, *patterns: str) -> str:
    """Where a program is; skips the test where it is not installed."""
    found = shutil.which(name) or next(iter(sorted(itertools.chain(*map(glob.glob, patterns)))), "")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def unprivileged() -> dict[str, Any]:
    """What makes a process another user's than root's, for whom the servers do not run."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server(abc.ABC):
    """A database server on a free port of this machine, with its files in a folder of its own.

    It leaves its files to the system's cache: no test cuts the power, and most make a database.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="database-"))
        self.port = free_port()
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._numbers = itertools.count()
        # The database that the tests which need no new one use in turn.
        self.shared: Optional[str] = None
        if owner := unprivileged():
            os.chown(self.folder, owner["user"], owner["group"])
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.remove()
            raise

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the files of a new server."""

    @abc.abstractmethod
    def command(self) -> list[str]:
        """What runs the server."""

    @abc.abstractmethod
    def ask(self, statement: str) -> list[Any]:
        """Run a statement as the administrator; its rows."""

    @abc.abstractmethod
    def url(self, database: str) -> str:
        """The address of a database for the library's configuration."""

    # The signal that ends the server at once and properly.
    end_signal = signal.SIGTERM

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                # Also when the tests are killed, nothing is left running.
                preexec_fn=die_with_parent,
                **unprivileged(),
            )
        end = time.monotonic() + START_S
        while True:
            try:
                self.ask("SELECT 1")
            except (psycopg.OperationalError, pymysql.OperationalError):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text(errors="replace")) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, with_signal: Optional[signal.Signals] = None) -> None:
        """End the server; its files stay."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(with_signal or self.end_signal)
            try:
                self._process.wait(START_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def remove(self) -> None:
        """End the server and delete its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"faces_{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, command: list[str]) -> None:
        """Run a program to its end as the server's user."""
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=ENVIRONMENT,
            check=False,
            **unprivileged(),
        )
        if done.returncode:
            raise RuntimeError(done.stdout.decode(errors="replace"))


class PostgreSql(Server):
    end_signal = signal.SIGINT  # "fast shutdown": SIGTERM would wait for the clients

    def __init__(self) -> None:
        self.initdb = program("initdb", "/usr/lib/postgresql/*/bin/initdb")
        self.postgres = program("postgres", "/usr/lib/postgresql/*/bin/postgres")
        super().__init__()

    def prepare(self) -> None:
        options = ["-U", "faces", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run([self.initdb, "-D", str(self.folder / "data"), *options])

    def command(self) -> list[str]:
        listen = ["-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        return [self.postgres, "-D", str(self.folder / "data"), *listen, "-c", "fsync=off"]

    def ask(self, statement: str) -> list[Any]:
        address = {"host": "127.0.0.1", "port": self.port, "user": "faces", "dbname": "postgres"}
        with closing(psycopg.connect(**address, autocommit=True)) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str) -> str:
        return f"postgresql://faces@127.0.0.1:{self.port}/{database}"


class MariaDb(Server):
    def __init__(self) -> None:
        self.install = program("mariadb-install-db")
        program("my_print_defaults")  # the one above calls it
        self.mariadbd = program("mariadbd", "/usr/sbin/mariadbd")
        super().__init__()

    def prepare(self) -> None:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        self.run([self.install, "--no-defaults", f"--datadir={self.folder}/data", *options])

    def command(self) -> list[str]:
        return [
            self.mariadbd,
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket",
            f"--pid-file={self.folder}/pid",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=2",
            "--skip-innodb-doublewrite",
        ]

    def ask(self, statement: str) -> list[Any]:
        address = {"host": "127.0.0.1", "port": self.port, "user": "root", "autocommit": True}
        with closing(pymysql.connect(**address)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def url(self, database: str) -> str:
        return f"mariadb://root@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server that all tests share."""
    server = PostgreSql()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Server]:
    """A MariaDB server that all tests share."""
    server = MariaDb()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without rows, of each system in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/faces.db"
    server: Server = request.getfixturevalue(request.param)
    if server.shared is None:
        server.shared = server.new_database()
    else:
        _empty(server.shared)
    return server.shared


def _empty(url: str) -> None:
    """Delete all rows: much faster than making a database for every test."""
    engine = create_engine(LibraryConfig(database=url).url(), poolclass=NullPool)
    tables = set(inspect(engine).get_table_names())
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name in tables:
                connection.execute(table.delete())


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores by URL and settings; all are closed when the test ends."""
    opened: list[Store] = []

    def open_(url: str, **settings: Any) -> Store:
        config = LibraryConfig.model_validate({"folder": tmp_path, "database": url, **settings})
        opened.append(Store(config))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


@pytest.fixture
def store(database_url: str, open_store: Callable[..., Store]) -> Store:
    """A store on an empty database, of each system in turn."""
    return open_store(database_url)
