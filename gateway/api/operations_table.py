"""The face API in one table: what each operation is called in both spellings, takes and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.api import parameters as p
from gateway.api import results as r
from gateway.api.operations import apps, detect, people, search
from gateway.auth.keys import ADMIN

PRIVATE = "/face-api/v3/"
HUB = "/face-api/facehub/"
CLOUD = "/rest/2.0/face/v3/"
READ, WRITE = "read", "write"


@dataclass(frozen=True)
class Operation:
    """One operation.

    private, cloud: paths below `PRIVATE` and `CLOUD`; hub: below `HUB`. takes: its parameters.
    run: called with the services, the call and the parameters. answers: the result's model, None
    for no result. most: of an operation that takes a JSON array of parameters, how many; least:
    how few. get: whether GET does as well.
    """

    run: Callable[[Any, Any, Any], Awaitable[Any]]
    takes: type[p.Parameters]
    answers: type[Any] | None
    private: tuple[str, ...] = ()
    cloud: tuple[str, ...] = ()
    hub: tuple[str, ...] = ()
    role: str = READ
    least: int = 1
    most: int = 0
    get: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """All its paths, the private one first."""
        return (
            *(PRIVATE + path for path in self.private),
            *(HUB + path for path in self.hub),
            *(CLOUD + path for path in self.cloud),
        )


OPERATIONS = (
    Operation(detect.detect, p.Detect, r.DetectResult, ("face/detect",), ("detect",)),
    Operation(detect.match, p.Match, r.MatchResult, ("face/match",), ("match",), least=2, most=2),
    Operation(
        detect.liveness,
        p.Liveness,
        r.LivenessResult,
        ("face/liveness", "face/faceverify"),
        ("faceverify",),
        most=p.MAX_PICTURES,
    ),
    Operation(
        search.identify,
        p.Identify,
        r.IdentifyResult,
        ("face/identify", "face/search"),
        ("search",),
    ),
    Operation(
        search.multi_search,
        p.MultiSearch,
        r.MultiSearchResult,
        ("face/multi-search", "face/multi-identify", "face/midentify"),
        ("multi-search",),
    ),
    Operation(people.add, p.Add, r.EnrolResult, ("face/add",), ("faceset/user/add",), role=WRITE),
    Operation(
        people.update,
        p.Update,
        r.EnrolResult,
        ("face/update",),
        ("faceset/user/update",),
        role=WRITE,
    ),
    Operation(
        people.delete_face,
        p.DeleteFace,
        None,
        ("face/delete",),
        ("faceset/face/delete",),
        role=WRITE,
    ),
    Operation(
        people.list_faces,
        p.UserOfGroup,
        r.FaceListResult,
        ("face/list", "face/getlist"),
        ("faceset/face/getlist",),
    ),
    Operation(people.get_user, p.UserAnywhere, r.UserResult, ("user/get",), ("faceset/user/get",)),
    Operation(
        people.list_users,
        p.UsersOfGroup,
        r.UserIdsResult,
        ("user/list", "group/getusers"),
        ("faceset/group/getusers",),
    ),
    Operation(
        people.copy_user, p.CopyUser, None, ("user/copy",), ("faceset/user/copy",), role=WRITE
    ),
    Operation(
        people.delete_user,
        p.UserAnywhere,
        None,
        ("user/delete",),
        ("faceset/user/delete",),
        role=WRITE,
    ),
    Operation(people.add_group, p.Group, None, ("group/add",), ("faceset/group/add",), role=WRITE),
    Operation(
        people.delete_group,
        p.Group,
        None,
        ("group/delete",),
        ("faceset/group/delete",),
        role=WRITE,
    ),
    Operation(
        people.list_groups,
        p.Page,
        r.GroupIdsResult,
        ("group/list", "group/getlist"),
        ("faceset/group/getlist",),
    ),
    Operation(apps.list_apps, p.Parameters, r.AppIdsResult, ("app/list",), get=True),
    Operation(apps.delete_app, p.DeleteApp, None, ("app/delete",), role=ADMIN),
    Operation(apps.statistics_of_apps, p.StatApp, r.StatAppResult, hub=("statapp",), get=True),
    Operation(
        apps.statistics_of_groups, p.StatGroup, r.StatGroupResult, hub=("statgroup",), get=True
    ),
)
