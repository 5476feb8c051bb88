"""app/list and the hub's statistics: which apps there are, and how large."""

from __future__ import annotations

from typing import Any

from gateway.errors import ApiError, ErrorCode
from gateway.parameters import Parameters, StatApp, StatGroup
from gateway.services import Call, Services
from library.errors import NotFoundError
from library.library import Library
from library.records import Statistics


async def list_apps(services: Services, call: Call, asked: Parameters) -> dict[str, Any]:
    """Apps in the order of their making, those that the caller may see."""
    apps = await call.ask(services.people, lambda library: library.store.apps())
    return {"app_id_list": [app for app in apps if _may_see(call, app)]}


async def statistics_of_apps(services: Services, call: Call, asked: StatApp) -> dict[str, Any]:
    """Groups, users and faces of each app. Unknown apps are left out."""

    def work(library: Library) -> list[Statistics]:
        named = asked.op_app_id_list
        apps = library.store.apps() if named is None else list(dict.fromkeys(named.split(",")))
        found = [_statistics(library, app) for app in apps if _may_see(call, app)]
        return [one for one in found if one is not None]

    return {
        "app_list": [
            {
                "app_id": one.app,
                "group_num": len(one.groups),
                "user_num": sum(group.users for group in one.groups),
                "face_num": one.faces,
            }
            for one in await call.ask(services.people, work)
        ]
    }


async def statistics_of_groups(services: Services, call: Call, asked: StatGroup) -> dict[str, Any]:
    """Users and faces of an app's groups. Raises ApiError GROUP_NOT_FOUND."""
    app = asked.op_app_id or call.app
    if not _may_see(call, app):
        raise ApiError(ErrorCode.NO_PERMISSION)

    one = await call.ask(services.people, lambda library: _statistics(library, app))
    groups = {group.group: group for group in one.groups} if one else {}
    named = list(groups)
    if asked.group_id_list is not None:
        named = list(dict.fromkeys(asked.group_id_list.split(",")))
    unknown = next((name for name in named if name not in groups), None)
    if unknown is not None:
        raise ApiError(ErrorCode.GROUP_NOT_FOUND, f"there is no group {unknown}")
    return {
        "app_id": app,
        "group_list": [
            {"group_id": name, "user_num": groups[name].users, "face_num": groups[name].faces}
            for name in named
        ],
    }


def _may_see(call: Call, app: str) -> bool:
    return call.apps is None or app in call.apps


def _statistics(library: Library, app: str) -> Statistics | None:
    try:
        return library.store.statistics(app)
    except NotFoundError:
        return None
