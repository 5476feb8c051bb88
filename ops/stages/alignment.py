"""Alignment of faces as they stand in the picture, whatever their turn.

Detectors give the keypoints of an upright face for one that lies or stands on its head, and the
landmark model goes along with it. An upright face is known by its mesh (`vision.plausibility`),
and costs nothing more. For another one the landmark model looks at the crop turned by quarters and
then by eighths to both sides of the best; how much better the best is than all turns away from it
says whether it is to be trusted. Last, the crop is turned upright by the mesh's own roll. Where the
detector itself has compared the quarters (`detection.py`), another turn has to be far better.

The limits were chosen on 62 of 124 portraits, upright and turned, and on what the detector takes
for faces in 30 pictures without one (scikit-image's samples and textures, also cut and turned).
Of the latter none stays, of 128 boxes. `python -m bench turned` and `bench quality` measure it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from inference.runner import Sample
from vision.face import Face, Landmarks
from vision.geometry import eye_angle
from vision.plausibility import logits, plausibility
from vision.pose import Heads, head_angles

Look = Callable[[Sequence[Sample]], list[Landmarks]]

# What is less sure is no face.
MIN_SCORE = 0.25
# Turns of a crop are counted in eighths of a circle.
_EIGHTHS = 8
_EIGHTH = 2 * np.pi / _EIGHTHS
_QUARTERS = (2, 4, 6)
# Less than this of the model's confidence is nothing at all.
_SOMETHING = 0.1
# No face is seen in the best of four quarters: of faces, one of them always is within an eighth.
_HOPELESS = 0.15
# Weight of the head's bend beside the confidence when turns are compared, and where logits of
# confidences, which differ after many nines, are cut off.
_BEND = 4.0
_LEAST = 1e-7
# From the best turn on it is believed: with a lead of so much in rank, and so sure.
_LEAD = 3.0
_CONFIDENT = 0.5
# What the first look is ahead by where the detector has compared all quarters; the detector's score
# that then makes a face of it whatever the mesh is; and the one that also says how it stands, as
# for a profile, of which the model makes little. A cat has 0.78.
_COMPARED = 4.0
_COMPARED_SCORE = 0.75
_SURELY_COMPARED = 0.8
# What else is asked for of what was not plausible at first: of the mesh in the end, more where the
# detector is not sure either; or so much of the detector for a face of which nobody knows how it
# stands.
_PLAUSIBLE = -4.0
_ALONE_PLAUSIBLE = -1.5
_DETECTED = 0.55
_SURELY_DETECTED = 0.7
# A mesh that leans further in its crop than this, in degrees, is looked for once more: of upright
# faces it leans by 12 at most.
_LEANS = 12.5
_ROUNDS = 3
# The detector's box of an upright face, from the mesh's extent: medians over 124 portraits.
_BOX_SIDE = 0.93
_BOX_SHIFT = -0.025


@dataclass(frozen=True)
class Alignment:
    """How a face is aligned.

    is_face: whether it is one. is_sure: whether it is known how it stands in the picture.
    """

    landmarks: Landmarks
    is_face: bool
    is_sure: bool


@dataclass
class _Seen:
    """A look at a face. angle: of its crop's x axis in the picture, clockwise, in radians."""

    landmarks: Landmarks
    angle: float
    plausibility: float
    rank: float
    lean: float


class _Search:
    """The looks at one face. looks: by turns in eighths from the first; chosen: the best so far."""

    def __init__(self, sample: Sample, first: _Seen) -> None:
        picture, face = sample
        if face is None:
            raise ValueError("a face is needed")
        self.picture, self.face = picture, face
        self.looks = {0: first}
        self.chosen = first

    @property
    def first(self) -> _Seen:
        return self.looks[0]

    @property
    def best(self) -> int:
        """The turn whose mesh is most like an upright face's."""
        return max(self.looks, key=self._rank)

    def _rank(self, turn: int) -> float:
        known = self.face.compared and turn == 0
        return self.looks[turn].rank + (_COMPARED if known else 0.0)

    @property
    def lead(self) -> float:
        """By how much the best is better than all that are a quarter and more away from it."""
        best = self.best
        far = [
            self._rank(turn)
            for turn in self.looks
            if min((turn - best) % _EIGHTHS, (best - turn) % _EIGHTHS) > 1
        ]
        return self._rank(best) - max(far, default=-np.inf)

    @property
    def is_worth_turning(self) -> bool:
        """Whether it is no upright face, and the model or the detector sees something in it."""
        least = _COMPARED_SCORE if self.face.compared else _DETECTED
        some = self.first.landmarks.score >= _SOMETHING or self.face.score >= least
        return self.first.plausibility <= 0 and some

    @property
    def is_tilted(self) -> bool:
        """Whether the one chosen is to be looked at in a crop that stands as it does."""
        settled = self.first.plausibility > 0 or self.is_convincing
        return self.chosen is not self.first or (settled and abs(self.chosen.lean) > _LEANS)

    @property
    def is_convincing(self) -> bool:
        """Whether the best of several is so much better and so sure that it is believed."""
        if len(self.looks) == 1:
            return False
        return self.lead >= _LEAD and self.looks[self.best].landmarks.score >= _CONFIDENT

    def alignment(self) -> Alignment:
        """What came of it."""
        found, detected = self.chosen.landmarks, self.face.score
        if self.first.plausibility > 0:
            return Alignment(found, is_face=True, is_sure=True)
        if self.face.compared:
            some = found.score >= MIN_SCORE
            sure = some and (self.is_convincing or detected >= _SURELY_COMPARED)
            return Alignment(found, is_face=some or detected >= _COMPARED_SCORE, is_sure=sure)
        least = _PLAUSIBLE if detected >= _DETECTED else _ALONE_PLAUSIBLE
        plausible = self.chosen.plausibility > least and found.score >= _CONFIDENT
        sure = self.is_convincing and plausible
        some = found.score >= MIN_SCORE and detected >= _SURELY_DETECTED
        return Alignment(found, is_face=sure or some, is_sure=sure)


def align_faces(look: Look, samples: Sequence[Sample]) -> list[Alignment]:
    """The landmarks of faces, one each in order.

    look: the landmark model. samples: pictures (H, W, 3) uint8 RGB, each with a face as detected.
    """
    firsts = look(samples)
    given = [number for number, landmarks in enumerate(firsts) if landmarks.mesh is not None]
    angles = [_angle(samples[number]) for number in given]
    seen = dict(zip(given, _seen([firsts[number] for number in given], angles)))
    searches = {n: _Search(samples[n], one) for n, one in seen.items()}
    _survey(look, [search for search in searches.values() if search.is_worth_turning])
    _straighten(look, [search for search in searches.values() if search.is_tilted])
    return [
        searches[n].alignment()
        if n in searches
        else Alignment(found, found.score >= MIN_SCORE, True)
        for n, found in enumerate(firsts)
    ]


def _survey(look: Look, searches: Sequence[_Search]) -> None:
    """Look at the faces turned: by quarters, then by an eighth to both sides of the best one."""
    _turn(look, [(search, turn) for search in searches for turn in _QUARTERS])
    promising = [
        search
        for search in searches
        if max(seen.landmarks.score for seen in search.looks.values()) >= _HOPELESS
    ]
    sides = [(search, search.best + side) for search in promising for side in (-1, 1)]
    _turn(look, [(search, turn % _EIGHTHS) for search, turn in sides])
    for search in promising:
        if search.is_convincing:
            search.chosen = search.looks[search.best]


def _turn(look: Look, views: Sequence[tuple[_Search, int]]) -> None:
    angles = [search.first.angle + turn * _EIGHTH for search, turn in views]
    found = look(
        [(search.picture, _turned(search.face, angle)) for (search, _), angle in zip(views, angles)]
    )
    for (search, turn), seen in zip(views, _seen(found, angles)):
        search.looks[turn] = seen


def _straighten(look: Look, searches: Sequence[_Search]) -> None:
    """Look at faces in crops that stand as the last mesh does; the most plausible is chosen.

    The detector's box of a face that is turned is often too small or beside it, too.
    """
    last = [search.chosen for search in searches]
    for _ in range(_ROUNDS):
        angles = [seen.angle + float(np.radians(seen.lean)) for seen in last]
        samples = [
            (search.picture, _turned(_around(seen, angle), angle))
            for search, seen, angle in zip(searches, last, angles)
        ]
        last = _seen(look(samples), angles)
        for search, seen in zip(searches, last):
            if seen.plausibility > search.chosen.plausibility:
                search.chosen = seen


def _around(seen: _Seen, angle: float) -> Face:
    """A face with the box that a detector would draw round the mesh if it stood upright."""
    mesh = seen.landmarks.mesh
    if mesh is None:
        raise ValueError("a mesh is needed")
    cos, sin = np.cos(angle), np.sin(angle)
    to_picture = np.array([[cos, sin], [-sin, cos]], np.float32)
    upright = mesh[:, :2] @ to_picture.T
    low, high = upright.min(axis=0), upright.max(axis=0)
    side = float(np.max(high - low)) * _BOX_SIDE
    center = ((low + high) / 2 + (0, _BOX_SHIFT * side)) @ to_picture + 0.5
    box = np.concatenate([center - side / 2, center + side / 2]).astype(np.float32)
    return Face(box, seen.landmarks.score)


def _turned(face: Face, angle: float) -> Face:
    """The face as if a detector had said that it stands at an angle."""
    center = (face.box[:2] + face.box[2:]) / 2
    along = np.array([np.cos(angle), np.sin(angle)], np.float32)
    return Face(face.box, face.score, np.stack([center, center + along]))


def _angle(sample: Sample) -> float:
    return eye_angle(None if sample[1] is None else sample[1].keypoints)


def _seen(found: Sequence[Landmarks], angles: Iterable[float]) -> list[_Seen]:
    """What is to be known of looks at faces with a mesh."""
    if not found:
        return []
    meshes = np.stack([landmarks.mesh for landmarks in found if landmarks.mesh is not None])
    scores = np.array([landmarks.score for landmarks in found])
    heads = Heads.of(meshes)
    plausible = plausibility(heads, meshes, scores)
    ranks = logits(scores, _LEAST) - _BEND * np.log(heads.bends)
    rolls = head_angles(heads.rotations)[:, 2]
    return [
        _Seen(landmarks, angle, float(p), float(rank), _within(float(roll - np.degrees(angle))))
        for landmarks, angle, p, rank, roll in zip(found, angles, plausible, ranks, rolls)
    ]


def _within(degrees: float) -> float:
    """The same angle from -180 to 180."""
    return (degrees + 180.0) % 360.0 - 180.0
