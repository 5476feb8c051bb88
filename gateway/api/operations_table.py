"""The face API in one table: what each operation is called in both spellings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from gateway.api.operations import apps, detect, people, search
from gateway.api.parameters import MAX_PICTURES, Parameters
from gateway.auth.keys import ADMIN
from gateway.context import Call

PRIVATE = "/face-api/v3/"
HUB = "/face-api/facehub/"
CLOUD = "/rest/2.0/face/v3/"
READ, WRITE = "read", "write"


@dataclass(frozen=True)
class Operation:
    """One operation.

    run: called with the call and the parameters, or a list of them; what it takes and answers is
    read off its annotations. private, cloud: paths below `PRIVATE` and `CLOUD`; hub: below `HUB`.
    least, most: how many parameters of those that it takes as a JSON array. get: whether GET does
    as well.
    """

    run: Callable[[Call, Any], Awaitable[Any]]
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

    @property
    def takes(self) -> type[Parameters]:
        """The model of its parameters; of one of them where it takes a list."""
        annotation = get_type_hints(self.run)["asked"]
        (takes,) = get_args(annotation) or (annotation,)
        return takes

    @property
    def answers(self) -> Any:
        """The type of its result; None's where there is none."""
        return get_type_hints(self.run)["return"]


OPERATIONS = (
    Operation(detect.detect, ("face/detect",), ("detect",)),
    Operation(detect.match, ("face/match",), ("match",), least=2, most=2),
    Operation(
        detect.liveness, ("face/liveness", "face/faceverify"), ("faceverify",), most=MAX_PICTURES
    ),
    Operation(search.identify, ("face/identify", "face/search"), ("search",)),
    Operation(
        search.multi_search,
        ("face/multi-search", "face/multi-identify", "face/midentify"),
        ("multi-search",),
    ),
    Operation(people.add, ("face/add",), ("faceset/user/add",), role=WRITE),
    Operation(people.update, ("face/update",), ("faceset/user/update",), role=WRITE),
    Operation(people.delete_face, ("face/delete",), ("faceset/face/delete",), role=WRITE),
    Operation(people.list_faces, ("face/list", "face/getlist"), ("faceset/face/getlist",)),
    Operation(people.get_user, ("user/get",), ("faceset/user/get",)),
    Operation(people.list_users, ("user/list", "group/getusers"), ("faceset/group/getusers",)),
    Operation(people.copy_user, ("user/copy",), ("faceset/user/copy",), role=WRITE),
    Operation(people.delete_user, ("user/delete",), ("faceset/user/delete",), role=WRITE),
    Operation(people.add_group, ("group/add",), ("faceset/group/add",), role=WRITE),
    Operation(people.delete_group, ("group/delete",), ("faceset/group/delete",), role=WRITE),
    Operation(people.list_groups, ("group/list", "group/getlist"), ("faceset/group/getlist",)),
    Operation(apps.list_apps, ("app/list",), get=True),
    Operation(apps.delete_app, ("app/delete",), role=ADMIN),
    Operation(apps.statistics_of_apps, hub=("statapp",), get=True),
    Operation(apps.statistics_of_groups, hub=("statgroup",), get=True),
)
