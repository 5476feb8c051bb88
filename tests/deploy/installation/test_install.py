"""``deploy/install`` below another root: what it makes, again and again, and takes away."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest

from deploy.installation import __main__ as command
from deploy.installation import units
from deploy.installation.layout import Layout, Wish
from deploy.installation.release import name_of
from settings.config import load_config
from tests.support.service import ROOT

NAME = "face-serving"
pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def install(project, tmp_path, monkeypatch, capsys):
    """Runs the command line below a root of its own; exit status and what it said."""
    monkeypatch.setattr(command, "_PROJECT", project)
    root = tmp_path / "root"
    root.mkdir()

    def run(*options: str) -> tuple[int, str]:
        capsys.readouterr()
        try:
            status = command.main([*options, "--root", str(root)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out + said.err

    run.root = root
    return run


def tree(root: Path) -> dict[str, tuple]:
    """Every path below a root, with what tells whether it was touched."""
    found = {}
    for parent, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(parent) / name
            about = path.lstat()
            found[str(path.relative_to(root))] = (about.st_mode, about.st_size, about.st_mtime_ns)
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_one_command_installs_from_a_bundle(install, make_bundle, project):
    status, said = install("--bundle", str(make_bundle()))
    assert status == 0, said
    root = install.root
    release = root / "opt" / NAME / "releases" / name_of(project)
    assert os.readlink(root / "opt" / NAME / "current") == f"releases/{release.name}"
    assert (release / "web_service.py").is_file()
    assert os.access(release / "deploy" / "install", os.X_OK)
    models = sorted(path.name for path in (root / "opt" / NAME / "models").iterdir())
    assert models == ["detector", "recogniser"]
    assert mode(root / "var/lib" / NAME) == 0o700
    assert mode(root / "etc" / NAME) == 0o750
    assert mode(root / "etc" / NAME / "config.yml") == 0o640
    config = load_config(root / "etc" / NAME / "config.yml")
    assert str(config.log_dir()) == f"/var/log/{NAME}"
    # Packages come from the bundle, whatever settings pip has on this machine.
    told = (release / ".told").read_text()
    assert f" 1 {os.devnull}\none-1.0-py3-none-any.whl\n" in told
    assert not list((root / "opt" / NAME / "releases").glob(".*"))


def test_a_second_run_changes_nothing_and_says_so(install, make_bundle, project):
    bundle = str(make_bundle())
    assert install("--bundle", bundle)[0] == 0
    before = tree(install.root)
    status, said = install("--bundle", bundle)
    assert (status, tree(install.root)) == (0, before)
    assert f"nothing differs: {name_of(project)} is installed; nothing was changed" in said


def test_a_dry_run_says_every_step_and_makes_nothing(install, make_bundle):
    status, said = install("--bundle", str(make_bundle()), "--dry-run")
    assert (status, tree(install.root)) == (0, {})
    for words in ("would install release 0.1.0-", "would write the settings", "steps would be"):
        assert words in said


def test_settings_and_models_of_the_operator_stay(install, make_bundle):
    bundle = str(make_bundle())
    install("--bundle", bundle)
    config = install.root / "etc" / NAME / "config.yml"
    config.write_text("name: Mine\n")
    model = install.root / "opt" / NAME / "models" / "recogniser" / "model.yml"
    model.write_text("name: mine\n")
    status, said = install("--bundle", bundle, "--listen", "0.0.0.0")
    assert status == 0
    assert "is there and stays as it is" in said
    assert (config.read_text(), model.read_text()) == ("name: Mine\n", "name: mine\n")


def test_another_release_runs_beside_the_one_from_before(install, make_bundle, project):
    install("--bundle", str(make_bundle()))
    first = name_of(project)
    (project / "README.md").open("a").write("another line\n")
    second = name_of(project)
    status, said = install("--bundle", str(make_bundle("next.tar")))
    assert status == 0, said
    programs = install.root / "opt" / NAME
    assert os.readlink(programs / "current") == f"releases/{second}"
    assert os.readlink(programs / "previous") == f"releases/{first}"
    assert install("--rollback", "--dry-run")[1] == f"install: would go back to release {first}\n"
    assert install("--rollback")[0] == 0
    assert os.readlink(programs / "current") == f"releases/{first}"


def test_a_release_that_was_half_made_is_made_anew(install, make_bundle, project):
    bundle = str(make_bundle())
    setup = (project / "scripts" / "setup").read_text()
    (project / "scripts" / "setup").write_text("#!/bin/sh\nexit 3\n")
    broken = str(make_bundle("broken.tar"))
    (project / "scripts" / "setup").write_text(setup)
    status, said = install("--bundle", broken)
    assert status == 1
    assert "scripts/setup --no-models ended with status 3" in said
    assert not (install.root / "opt" / NAME / "current").exists()
    assert install("--bundle", broken)[0] == 1
    assert install("--bundle", bundle)[0] == 0


def test_a_damaged_bundle_leaves_what_runs_alone(install, make_bundle, project):
    install("--bundle", str(make_bundle()))
    first = name_of(project)
    (project / "README.md").open("a").write("another line\n")
    file = make_bundle("next.tar")
    content = bytearray(file.read_bytes())
    content[content.index(b"a package")] ^= 1
    file.write_bytes(content)
    status, said = install("--bundle", str(file))
    assert (status, "is damaged" in said) == (1, True), said
    assert os.readlink(install.root / "opt" / NAME / "current") == f"releases/{first}"


@pytest.mark.parametrize(
    ("role", "units", "settings"),
    [
        ("all", 5, {"replicas: 1", "port: 8300"}),
        ("pipeline", 1, {"port: 0"}),
        ("gateway", 5, {"replicas: 0", "http_port: 0", 'pipelines: ["p.example:18091"]'}),
    ],
)
def test_each_role_has_its_units_and_its_settings(install, make_bundle, role, units, settings):
    more = ["--pipelines", "p.example:18091"] if role == "gateway" else []
    assert install("--bundle", str(make_bundle()), "--role", role, *more)[0] == 0
    folder = install.root / "etc/systemd/system"
    files = [path.name for path in folder.iterdir() if path.is_file()]
    assert len(files) == units
    text = (install.root / "etc" / NAME / "config.yml").read_text()
    assert all(setting in text for setting in settings)
    wanted = folder / "multi-user.target.wants" / f"{NAME}.service"
    assert (wanted.parent / os.readlink(wanted)).resolve() == folder / f"{NAME}.service"
    # The role is kept in mind, and cannot become another one by the way.
    assert "nothing differs" in install("--bundle", str(make_bundle()))[1]
    other = "gateway" if role != "gateway" else "all"
    status, said = install("--bundle", str(make_bundle()), "--role", other, "--pipelines", "a:1")
    assert (status, f"has the role {role}" in said) == (1, True)


def test_a_database_elsewhere_has_its_password_from_a_file_that_few_may_read(
    install, make_bundle, tmp_path
):
    password = tmp_path / "password"
    password.write_text("p@ss:word\n")
    options = ["--database", "postgresql://faces@db.example/faces"]
    options += ["--database-password-file", str(password), "--milvus", "http://milvus:19530"]
    options += ["--milvus-token-file", str(password)]
    status, said = install("--bundle", str(make_bundle()), *options)
    assert status == 0
    secrets = install.root / "etc" / NAME / "secrets"
    assert mode(secrets / "database-password") == 0o640
    assert (secrets / "milvus-token").read_text() == "p@ss:word\n"
    text = (install.root / "etc" / NAME / "config.yml").read_text()
    assert f'"postgresql://faces:${{file:/etc/{NAME}/secrets/database-password}}@db' in text
    assert "p@ss" not in text + said


def test_another_prefix_is_that_of_the_units_too(install, make_bundle):
    assert install("--bundle", str(make_bundle()), "--prefix", "/srv/faces")[0] == 0
    unit = (install.root / "etc/systemd/system" / f"{NAME}.service").read_text()
    assert "ExecStart=/srv/faces/current/.venv/bin/python web_service.py" in unit
    assert f"/opt/{NAME}" not in unit
    assert (install.root / "srv/faces/current/web_service.py").is_file()


def test_a_gpu_is_let_through_by_the_units(install, project, monkeypatch):
    texts = units.texts(project, Layout(install.root, f"/opt/{NAME}"), Wish(device="gpu"))
    assert "DeviceAllow=char-nvidia rw" in texts[f"{NAME}.service.d/gpu.conf"]
    units.install(Layout(install.root, f"/opt/{NAME}"), texts, command.Host(staged=True))
    assert (install.root / "etc/systemd/system" / f"{NAME}.service.d/gpu.conf").is_file()


def test_uninstalling_leaves_the_data_and_nothing_else(install, make_bundle):
    install("--bundle", str(make_bundle()))
    data = install.root / "var/lib" / NAME
    (data / "faces.db").write_text("people")
    # As systemd notes that a timer has run.
    stamp = install.root / "var/lib/systemd/timers" / f"stamp-{NAME}-backup.timer"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    before = tree(install.root)
    status, said = install("--uninstall", "--dry-run")
    assert (status, tree(install.root)) == (0, before)
    assert "would remove" in said
    assert install("--uninstall")[0] == 0
    files = [path for path in install.root.rglob("*") if not path.is_dir()]
    assert files == [data / "faces.db"]
    assert "nothing is installed here" in install("--uninstall")[1]
    assert install("--uninstall", "--purge")[0] == 0
    assert not data.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--purge"], "--purge goes with --uninstall"),
        (["--prefix", "relative"], "a plain path from /"),
        (["--prefix", "/opt/../etc"], "a plain path from /"),
        (["--database", "postgresql://u:word@h/d"], "the password goes into a file"),
        (["--role", "everything"], "invalid choice"),
        (["--rollback", "--uninstall"], "goes with neither"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_done(install, options, said):
    status, told = install(*options)
    assert (status, said in told) == (2, True), told
    assert tree(install.root) == {}


def test_what_is_missing_is_named(install, tmp_path):
    assert "needs --pipelines HOST:PORT" in install("--role", "gateway", "--dry-run")[1]
    status, said = install("--bundle", str(tmp_path / "none.tar"))
    assert (status, "no bundle" in said) == (1, True)
    assert "nothing is installed in" in install("--rollback")[1]


def test_only_one_installation_is_under_way(install, make_bundle):
    bundle = str(make_bundle())
    (install.root / "opt").mkdir()
    holder = os.open(install.root / "opt", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    status, said = install("--bundle", bundle)
    os.close(holder)
    assert (status, "another installation is under way" in said) == (1, True)


def test_it_runs_before_any_package_is_there():
    """With the standard library alone, and by its own name."""
    done = subprocess.run(
        [ROOT / "deploy" / "install", "--help"],
        capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )  # fmt: skip
    if "no Python 3.11" in done.stderr:
        pytest.skip("no Python of the system that the service runs on")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--bundle" in done.stdout


def test_without_a_python_it_says_how_to_get_one(tmp_path, project):
    script = project / "scripts" / "find-python"
    script.write_text("#!/bin/sh\nexit 1\n")
    done = subprocess.run(
        [project / "deploy" / "install", "--dry-run"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr
