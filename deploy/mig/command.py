"""``python -m deploy mig plan``: how a GPU could be divided for a tenant file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from client.terminal.console import open_console
from client.terminal.table import FittingTable
from deploy.errors import DeployError
from deploy.mig.need import Need, need_of
from deploy.mig.plan import Plan, commands, fitting, plan
from deploy.mig.profiles import Gpu, gpus, placements_source
from deploy.tenants.processes.keeping import variables
from deploy.tenants.settings_file import secrets_of, settings_of, text_of
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import TenantFile, load_tenants
from inference.manifest import ManifestError
from settings.config import load_config
from terminal.options import PATH, SETTINGS, Count, json_option

DONE, FAILED = 0, 1
_GB = 10**9


@click.group(context_settings=SETTINGS)
def mig() -> None:
    """GPUs that several tenants share, each with an instance of its own."""


@mig.command("plan", context_settings=SETTINGS)
@click.option("--tenants", "path", type=PATH, default="tenants.yml", metavar="FILE",
              help="The tenant file.")  # fmt: skip
@click.option("--gpu", type=click.Choice(list(gpus())), required=True, help="The GPU to divide.")
@click.option("--index", type=Count(0), default=0, help="Its number on this machine.")
@click.option("--all", "everybody", is_flag=True, help="Also tenants without a device.")
@json_option
def show_plan(path: Path, gpu: str, index: int, everybody: bool, as_json: bool) -> int:
    """Propose an instance for each tenant, and print the commands that make them.

    Nothing is run. Exit status 1 where the tenants do not fit.
    """
    file = load_tenants(path)
    needs = {
        one.name: _need(file, one) for one in file.tenants if one.device or everybody
    }  # fmt: skip
    if not needs:
        raise DeployError(f"{path}: no tenant has a device; --all takes them all")
    about = gpus()[gpu]
    found = plan(about, needs)
    lines = commands(found.instances, index) if found.instances else []
    if as_json:
        print(json.dumps(_document(about, needs, found, lines)))
    else:
        _show(about, needs, found, lines)
    return DONE if found.instances else FAILED


def _need(file: TenantFile, tenant: Tenant) -> Need:
    """What a tenant's models take; on a machine that has the models. Raises ConfigError."""
    with tempfile.TemporaryDirectory(prefix="mig-plan-") as folder:
        copy = Path(folder, "config.yml")
        copy.write_text(text_of(settings_of(file, tenant)), encoding="utf-8")
        with variables(secrets_of(tenant)):
            try:
                return need_of(load_config(copy))
            except ManifestError as error:
                raise DeployError(str(error)) from None


def _show(gpu: Gpu, needs: dict[str, Need], found: Plan, lines: list[str]) -> None:
    out = open_console(markup=False)
    instances = {one.tenant: one for one in found.instances}
    table = FittingTable(f"{gpu.title}, {gpu.compute} compute and {gpu.memory} memory slices")
    table.names("tenant").figures("needs at most").names("profile", "slices")
    table.words("largest model", "does not fit")
    for name, need in needs.items():
        one = instances.get(name)
        slices = f"{one.start} to {one.start + one.profile.memory - 1}" if one else ""
        table.add_row(
            name, f"{need.bytes / _GB:.1f} GB", one.profile.name if one else "none", slices,
            _largest(need), ", ".join(_too_small(gpu, need)),
        )  # fmt: skip
    out.print(table)
    for name, need in needs.items():
        if not fitting(gpu, need):
            out.print(f"{name}: {_refusal(gpu, need)}")
    if found.why:
        out.print(found.why)
    for line in lines:
        out.print(f"sudo {line}")
    if lines:
        out.print("Then write the UUID of each instance as the device of its tenant.")
    out.print(f"Profiles: {gpu.source}\nPlaces: {placements_source()}")


def _largest(need: Need) -> str:
    model = need.largest
    return (
        f"{model.model} of {model.stage}, batch {model.batch} on {model.threads} threads: "
        f"{model.bytes / _GB:.1f} GB"
    )


def _too_small(gpu: Gpu, need: Need) -> list[str]:
    fits = fitting(gpu, need)
    return [one.name for one in gpu.profiles if one not in fits]


def _refusal(gpu: Gpu, need: Need) -> str:
    """What does not fit, and what would."""
    most = max(gpu.profiles, key=lambda one: one.usable_bytes)
    model = need.largest
    batch = model.largest_batch(need.room_for_largest(most.usable_bytes))
    advice = (
        f"op.{model.stage}.batch_size of at most {batch} would"
        if batch
        else "no batch_size of it would; take fewer threads, replicas or stages"
    )
    return (
        f"{model.model} with batches of {model.batch} on {model.threads} threads does not fit "
        f"{most.name}; {advice}"
    )


def _document(gpu: Gpu, needs: dict[str, Need], found: Plan, lines: list[str]) -> dict[str, Any]:
    instances = {one.tenant: one for one in found.instances}
    tenants = []
    for name, need in needs.items():
        one = instances.get(name)
        tenants.append({
            "tenant": name,
            "needs_bytes": need.bytes,
            "profile": one.profile.name if one else None,
            "start": one.start if one else None,
            "too_small": _too_small(gpu, need),
            "largest": {"model": need.largest.model, "stage": need.largest.stage,
                        "batch": need.largest.batch, "bytes": need.largest.bytes},
        })  # fmt: skip
    return {"gpu": gpu.title, "source": gpu.source, "tenants": tenants, "why": found.why,
            "commands": lines}  # fmt: skip
