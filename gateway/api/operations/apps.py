"""app/list, app/delete and the hub's statistics: which apps there are, and how large."""

from __future__ import annotations

import time

from gateway.api.operations.people import TIME
from gateway.api.parameters import DeleteApp, Parameters, StatApp, StatGroup
from gateway.api.results import AppIdsResult, StatAppResult, StatGroupResult
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode
from library.errors import NotFoundError
from library.library import Library
from library.records import Statistics
from library.store.store import Store

# Seconds that a deletion waits for the tokens' file, which is no truth of anything.
_FORGETTING_S = 5.0


async def list_apps(call: Call, asked: Parameters) -> AppIdsResult:
    """Apps in the order of their making, those that the caller may see."""
    apps = await call.read(Store.app_records)
    seen = [one for one in apps if _may_see(call, one.app)]
    return {
        "app_id_list": [one.app for one in seen],
        "app_list": [{"app_id": one.app, "ctime": one.created.strftime(TIME)} for one in seen],
    }


async def delete_app(call: Call, asked: DeleteApp) -> None:
    """Delete an app with its groups, users, faces and face tokens, and revoke its keys.

    It takes an admin's key, and the app has to be named. What is cut off, by a crash for instance,
    is done by asking again. Raises ApiError GROUP_NOT_FOUND for an app that is not there.
    """
    face_tokens = call.backends.face_tokens

    # The keys first, so that nobody of the app's writes what is then deleted.
    def work(library: Library) -> None:
        revoked = call.backends.keys.revoke_app(call.app)
        try:
            library.delete_app(call.app)
        except NotFoundError:
            if not revoked:
                raise

    await face_tokens.forget_alike(call.app, None, min(_FORGETTING_S, call.remaining()))
    await call.change(work)
    # Of what was looked at meanwhile. It is done, whether there is time left for this or not.
    left = max(0.0, call.deadline - time.monotonic())
    await face_tokens.forget_alike(call.app, None, min(_FORGETTING_S, left))


async def statistics_of_apps(call: Call, asked: StatApp) -> StatAppResult:
    """Groups, users and faces of each app. Unknown apps are left out."""

    def work(store: Store) -> list[Statistics]:
        named = asked.op_app_id_list
        apps = store.apps() if named is None else list(dict.fromkeys(named.split(",")))
        found = [_statistics(store, app) for app in apps if _may_see(call, app)]
        return [one for one in found if one is not None]

    return {
        one.app: {
            "group_num": len(one.groups),
            "user_num": one.users,
            "face_num": one.faces,
        }
        for one in await call.read(work)
    }


async def statistics_of_groups(call: Call, asked: StatGroup) -> StatGroupResult:
    """Users and faces of an app's groups. Raises ApiError GROUP_NOT_FOUND."""
    app = asked.op_app_id or call.app
    if not _may_see(call, app):
        raise ApiError(ErrorCode.NO_PERMISSION)

    one = await call.read(_statistics, app)
    groups = {group.group: group for group in one.groups} if one else {}
    named = list(groups)
    if asked.group_id_list is not None:
        named = list(dict.fromkeys(asked.group_id_list.split(",")))
    unknown = next((name for name in named if name not in groups), None)
    if unknown is not None:
        raise ApiError(ErrorCode.GROUP_NOT_FOUND, f"there is no group {unknown}")
    return {
        name: {
            "user_num": groups[name].users,
            "face_num": groups[name].faces,
            "ctime": groups[name].created.strftime(TIME),
            "utime": groups[name].updated.strftime(TIME),
        }
        for name in named
    }


def _may_see(call: Call, app: str) -> bool:
    return call.apps is None or app in call.apps


def _statistics(store: Store, app: str) -> Statistics | None:
    try:
        return store.statistics(app)
    except NotFoundError:
        return None
