"""The gateway's results, JSON as it came, as typed values.

Every function raises LookupError, TypeError, ValueError or AttributeError for what is no such
result.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from client.rest.records import (
    Angle,
    AppStatistics,
    Comparison,
    Enrolled,
    EnrolledFace,
    Face,
    FoundFace,
    FoundUser,
    GroupStatistics,
    Guess,
    HealthReport,
    Identified,
    Liveness,
    Location,
    Match,
    Membership,
    Quality,
    Token,
)

_LOCATION = ("left", "top", "width", "height", "rotation")
_TIME = "%Y-%m-%d %H:%M:%S"


def faces(result: Any) -> tuple[Face, ...]:
    """The faces of a picture, or of several."""
    return tuple(_face(one) for one in result["face_list"])


def _face(one: Any) -> Face:
    angle, quality, live = one.get("angle"), one.get("quality"), one.get("liveness")
    return Face(
        token=Token(one["face_token"]),
        location=_location(one["location"]),
        probability=float(one["face_probability"]),
        angle=Angle(*(float(angle[name]) for name in ("yaw", "pitch", "roll"))) if angle else None,
        age=float(one["age"]) if "age" in one else None,
        gender=_guess(one.get("gender")),
        expression=_guess(one.get("expression")),
        emotion=_guess(one.get("emotion")),
        landmarks=_points(one.get("landmark")),
        landmark72=_points(one.get("landmark72")),
        quality=_quality(quality) if quality else None,
        spoofing=float(one["spoofing"]) if "spoofing" in one else None,
        liveness=float(live["livemapscore"]) if live else None,
        raw=dict(one),
    )


def _location(value: Any) -> Location | None:
    """Where a face is; None where the service does not know its picture."""
    if not value:
        return None
    return Location(*(float(value[name]) for name in _LOCATION))


def _guess(value: Any) -> Guess | None:
    return Guess(str(value["type"]), float(value["probability"])) if value else None


def _points(value: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(point["x"]), float(point["y"])) for point in value or ())


def _quality(value: Any) -> Quality:
    completeness, occlusion = value.get("completeness"), value.get("occlusion") or {}
    return Quality(
        blur=float(value["blur"]),
        illumination=float(value["illumination"]),
        completeness=None if completeness is None else float(completeness),
        occlusion={str(part): float(share) for part, share in occlusion.items()},
    )


def match(result: Any) -> Match:
    """How alike two faces are."""
    one, other = (Token(face["face_token"]) for face in result["face_list"])
    return Match(float(result["score"]), (one, other))


def comparison(answer: Any) -> Comparison:
    """The plain interface's comparison."""
    same = bool(answer["is_same_person"])
    return Comparison(float(answer["similarity"]), same, str(answer["message"]))


def _users(listed: Any) -> tuple[FoundUser, ...]:
    return tuple(
        FoundUser(one["group_id"], one["user_id"], one["user_info"], float(one["score"]))
        for one in listed
    )


def identified(result: Any) -> Identified:
    """Whom a search found."""
    return Identified(_users(result["user_list"]), Token(result["face_token"]))


def found_faces(result: Any) -> tuple[FoundFace, ...]:
    """Whom a search found for each face of a picture."""
    return tuple(
        FoundFace(Token(one["face_token"]), _location(one["location"]), _users(one["user_list"]))
        for one in result["face_list"]
    )


def liveness(result: Any) -> Liveness:
    """How alive the face of some pictures is."""
    thresholds = {str(name): float(value) for name, value in result["thresholds"].items()}
    return Liveness(float(result["face_liveness"]), thresholds, faces(result))


def enrolled(result: Any) -> Enrolled:
    """The face that was enrolled."""
    return Enrolled(Token(result["face_token"]), _location(result["location"]))


def health(answer: Any) -> HealthReport:
    """The state of the service; what is told to nobody without a key is empty then."""
    return HealthReport(
        ok=answer["status"] == "ok",
        reasons=tuple(map(str, answer["reasons"])),
        models=dict(answer.get("models") or {}),
        versions=dict(answer.get("versions") or {}),
        uptime_s=float(answer.get("uptime_s") or 0.0),
        licences=dict(answer.get("licences") or {}),
    )


def enrolled_faces(result: Any) -> tuple[EnrolledFace, ...]:
    """A user's faces, oldest first."""
    return tuple(_enrolled_face(one) for one in result["face_list"])


def _enrolled_face(one: Any) -> EnrolledFace:
    return EnrolledFace(Token(one["face_token"]), _moment(one["ctime"]))


def _moment(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)


def app_statistics(result: Any) -> tuple[AppStatistics, ...]:
    """Apps in numbers."""
    return tuple(
        AppStatistics(app, one["group_num"], one["user_num"], one["face_num"])
        for app, one in result.items()
    )


def group_statistics(result: Any) -> tuple[GroupStatistics, ...]:
    """Groups of an app in numbers."""
    return tuple(
        GroupStatistics(
            group, one["user_num"], one["face_num"], _moment(one["ctime"]), _moment(one["utime"])
        )
        for group, one in result.items()
    )


def memberships(result: Any) -> tuple[Membership, ...]:
    """The groups that have a user."""
    return tuple(Membership(one["group_id"], one["user_info"]) for one in result["user_list"])
