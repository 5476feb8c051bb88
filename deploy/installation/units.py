"""The units of systemd: from deploy/systemd/, for one role and one prefix."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.installation.host import Host, run
from deploy.installation.layout import NAME, PREFIX, Layout, Wish, replace_link
from deploy.whole_file import write_file

_FOLDER = "deploy/systemd"
_STAMPS = "/var/lib/systemd/timers"
SERVICE = f"{NAME}.service"
TIMERS = (f"{NAME}-backup", f"{NAME}-drill")
_GPU = f"{SERVICE}.d/gpu.conf"
# Everything that any role has, for whoever takes it away.
ALL = (SERVICE, _GPU, *(f"{name}.{kind}" for name in TIMERS for kind in ("service", "timer")))


def texts(release: Path, layout: Layout, wish: Wish) -> dict[str, str]:
    """The units by their names: the service, and where there are data the timers."""
    sources = {SERVICE: f"{NAME}-{wish.role}.service"}
    if wish.role != "pipeline":
        for name in TIMERS:
            for unit in (f"{name}.service", f"{name}.timer"):
                sources[unit] = unit
    if wish.device == "gpu" and wish.role != "gateway":
        sources[_GPU] = "gpu.conf"
    folder = release / _FOLDER
    return {
        unit: (folder / source).read_text(encoding="utf-8").replace(PREFIX, layout.prefix)
        for unit, source in sources.items()
    }


def are_installed(layout: Layout, units: dict[str, str]) -> bool:
    """Whether these are there as they should be, started with the machine, and no others are."""
    for unit in ALL:
        path, link = layout.units / unit, _link(layout, unit)
        text = path.read_text(encoding="utf-8") if path.is_file() else None
        if text != units.get(unit) or (link and link.is_symlink() != (unit in units)):
            return False
    return True


def install(layout: Layout, units: dict[str, str], host: Host) -> None:
    """Write them, and have them started with the machine; nothing is started now."""
    for unit in ALL:
        link = _link(layout, unit)
        if unit not in units:
            _remove(layout, unit, host)
            continue
        path = layout.units / unit
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, units[unit], 0o644)
        if link:
            # What `systemctl enable` does, also where no systemd runs.
            link.parent.mkdir(parents=True, exist_ok=True)
            replace_link(link, f"../{unit}")
    reload(host)


def remove(layout: Layout, host: Host) -> None:
    """Stop what runs and take all units away."""
    for unit in ALL:
        _remove(layout, unit, host)
    # When a timer ran last, which systemd keeps for one that catches up after the machine was off.
    for name in TIMERS:
        (layout.place(_STAMPS) / f"stamp-{name}.timer").unlink(missing_ok=True)
    reload(host)


def reload(host: Host) -> None:
    """Let systemd read its units again."""
    if host.has_systemd:
        run(["systemctl", "daemon-reload"])


def start(layout: Layout, host: Host) -> None:
    """Start the service, which is waited for until it is ready, and the timers."""
    if not host.has_systemd:
        return
    timers = [f"{name}.timer" for name in TIMERS if (layout.units / f"{name}.timer").is_file()]
    run(["systemctl", "start", SERVICE, *timers])


def stop(host: Host) -> None:
    """End the service after the requests under way."""
    if host.has_systemd:
        run(["systemctl", "stop", SERVICE])


def is_running(host: Host) -> bool:
    """Whether systemd runs the service."""
    if not host.has_systemd:
        return False
    state = run(["systemctl", "show", "--property=ActiveState", "--value", SERVICE], capture=True)
    return state.strip() in ("active", "reloading", "activating")


def _link(layout: Layout, unit: str) -> Path | None:
    if unit == SERVICE:
        return layout.units / "multi-user.target.wants" / unit
    return layout.units / "timers.target.wants" / unit if unit.endswith(".timer") else None


def _remove(layout: Layout, unit: str, host: Host) -> None:
    path, link = layout.units / unit, _link(layout, unit)
    if host.has_systemd and path.is_file() and unit.endswith((".service", ".timer")):
        run(["systemctl", "stop", unit])
    if link:
        link.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    if path.parent != layout.units and path.parent.is_dir() and not os.listdir(path.parent):
        path.parent.rmdir()
