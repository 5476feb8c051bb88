"""Database servers of one's own: started in a folder of their own, ended by their process id."""

from __future__ import annotations

import abc
import glob
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql

from runtime.ports import free_ports
from runtime.process import die_with_parent

START_S = 60
_HELD = "shared memory block"  # and that it is still in use, in PostgreSQL's log
# initdb looks through all time zones for the machine's own where this is not set.
ENVIRONMENT = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}


class MissingProgramError(RuntimeError):
    """A program that is not installed; the text says which."""


def program(name: str, *patterns: str) -> str:
    """Where a program is. Raises MissingProgramError."""
    found = shutil.which(name) or next(iter(sorted(itertools.chain(*map(glob.glob, patterns)))), "")
    if not found:
        raise MissingProgramError(f"{name} is not installed")
    return found


def unprivileged() -> dict[str, Any]:
    """What makes a process another user's than root's, for whom the servers do not run."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class Server(abc.ABC):
    """A database server on a free port of this machine, with its files in a folder of its own.

    Making it makes the files and starts it. It ends with the thread that started it.
    """

    # The signal that ends the server at once and properly.
    end_signal = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="database-"))
        self.port, _ = free_ports()
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0
        self._numbers = itertools.count()
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

    @property
    def pid(self) -> int:
        """Of the server's process."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process.pid

    def launch(self) -> None:
        """Start the server's process, and do not wait for it."""
        self._said_before = len(self._log()) if (self.folder / "log").exists() else 0
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                # Also when its parent is killed, nothing is left running.
                preexec_fn=die_with_parent,
                **unprivileged(),
            )

    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self._process is None or self._process.poll() is not None

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            self.ask("SELECT 1")
        except (psycopg.OperationalError, pymysql.OperationalError):
            return False
        return True

    def start(self) -> None:
        """Start the server and wait until it answers. Raises RuntimeError with its log."""
        self.launch()
        end = time.monotonic() + START_S
        while not self.answers():
            if time.monotonic() > end or (self.has_ended() and not self._is_held()):
                raise RuntimeError(self._log())
            if self.has_ended():
                self.launch()
            time.sleep(0.05)

    def _log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _is_held(self) -> bool:
        """Whether a session of a killed server, which has not noticed yet, was in the way."""
        return _HELD in self._log()[self._said_before :]

    def stop(self, with_signal: signal.Signals | None = None) -> None:
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
        """Run a program to its end as the server's user. Raises RuntimeError with its output."""
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
    """PostgreSQL. settings: NAME=VALUE, in place of the server's own."""

    end_signal = signal.SIGINT  # "fast shutdown": SIGTERM would wait for the clients

    def __init__(self, settings: Sequence[str] = ()) -> None:
        self.initdb = program("initdb", "/usr/lib/postgresql/*/bin/initdb")
        self.postgres = program("postgres", "/usr/lib/postgresql/*/bin/postgres")
        self._settings = list(itertools.chain(*(("-c", setting) for setting in settings)))
        super().__init__()

    def prepare(self) -> None:
        options = ["-U", "faces", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run([self.initdb, "-D", str(self.folder / "data"), *options])

    def command(self) -> list[str]:
        listen = ["-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-k", str(self.folder)]
        return [self.postgres, "-D", str(self.folder / "data"), *listen, *self._settings]

    def ask(self, statement: str) -> list[Any]:
        address = f"host=127.0.0.1 port={self.port} user=faces dbname=postgres"
        with closing(psycopg.connect(address, autocommit=True)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str) -> str:
        return f"postgresql://faces@127.0.0.1:{self.port}/{database}"


class MariaDb(Server):
    """MariaDB. settings: options of the server."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        self.install = program("mariadb-install-db")
        program("my_print_defaults")  # the one above calls it
        self.mariadbd = program("mariadbd", "/usr/sbin/mariadbd")
        self._settings = list(settings)
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
            *self._settings,
        ]

    def ask(self, statement: str) -> list[Any]:
        address = {"host": "127.0.0.1", "port": self.port, "user": "root", "autocommit": True}
        with closing(pymysql.connect(**address)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def url(self, database: str) -> str:
        return f"mariadb://root@127.0.0.1:{self.port}/{database}"
