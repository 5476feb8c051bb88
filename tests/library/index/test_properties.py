"""Random operations on two apps, against a plain model in memory.

10,000 operations on each kind of index in memory. On Milvus a few hundred, which take as long;
the environment variable MILVUS_STEPS sets another number (``MILVUS_STEPS=10000 pytest -k milvus``
on this file: three minutes, or ten where others use the machine).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from library.errors import LibraryError
from library.index.memory.approximate import ApproximateIndex
from library.records import Enrolment, NewFace
from library.sync import memory_storage
from tests.support.libraries.faces import MODEL, vectors
from tests.support.libraries.in_folder import RECOGNISER, open_library

APPS = ("shop", "bank")
GROUPS = ("staff", "guests", "suppliers")
USERS = ("ann", "bob", "cem", "dan")
LIMIT = 3
VECTORS = vectors(10)
QUERIES = vectors(8, seed=1)
STEPS = 10_000
MILVUS_STEPS = int(os.environ.get("MILVUS_STEPS", "300"))
# Operations on one library, before the next one begins empty.
STEPS_A_LIBRARY = 100

apps = st.sampled_from(APPS)
groups = st.sampled_from(GROUPS)
users = st.sampled_from(USERS)
seeds = st.integers(0, len(VECTORS) - 1)


@dataclass
class Person:
    """number: persons of equal score are found in this order. faces: token to vector's number."""

    number: int
    info: str = ""
    faces: dict[str, int] = field(default_factory=dict)


class LibraryMachine(RuleBasedStateMachine):
    """The library and the model side by side; every difference is a failure."""

    index: dict[str, Any]
    # People who are there from the start, three faces each, in a group that nothing else touches.
    regulars = 0
    steps = 0

    def __init__(self):
        super().__init__()
        # Memory where there is: it is the operations that are tested here, not the disk.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.numbers = count()
        self.model: dict[str, dict[str, dict[str, Person]]] = {}
        self.library = self.opened()
        if self.regulars:
            for app in APPS:
                self.enrol_regulars(app)

    def enrol_regulars(self, app):
        self.library.create_group(app, "regulars")
        people = self.model.setdefault(app, {}).setdefault("regulars", {})
        seeds_of = {
            f"regular_{number}": [(number + step) % len(VECTORS) for step in range(LIMIT)]
            for number in range(self.regulars)
        }
        batch = [
            Enrolment("regulars", user, NewFace(VECTORS[seed], MODEL), "")
            for user, some in seeds_of.items()
            for seed in some
        ]
        tokens = iter(self.library.enrol(app, batch))
        for user, some in seeds_of.items():
            people[user] = Person(next(self.numbers), "", {next(tokens): seed for seed in some})

    def opened(self):
        return open_library(self.folder, limits={"faces_per_user": LIMIT}, index=self.index)

    def teardown(self):
        self.library.close()
        shutil.rmtree(self.folder)

    @invariant()
    def is_counted(self):
        type(self).steps += 1

    # What the model says of errors, in the order in which the library looks.

    def group_of(self, app, group):
        return self.model.get(app, {}).get(group)

    def expect(self, code, call):
        """Call; with a code, it must be refused with that."""
        if code is None:
            return call()
        with pytest.raises(LibraryError) as caught:
            call()
        assert caught.value.code == code
        return None

    @rule(app=apps, group=groups)
    def create_group(self, app, group):
        code = "group_exists" if self.group_of(app, group) is not None else None
        self.expect(code, lambda: self.library.create_group(app, group))
        self.model.setdefault(app, {}).setdefault(group, {})

    @rule(app=apps, group=groups)
    def delete_group(self, app, group):
        code = "group_not_found" if self.group_of(app, group) is None else None
        self.expect(code, lambda: self.library.delete_group(app, group))
        if code is None:
            del self.model[app][group]

    @rule(app=apps, group=groups, user=users, some=st.lists(seeds, min_size=1, max_size=4),
          replace=st.booleans(), info=st.none() | st.text("ab", max_size=2))  # fmt: skip
    def enrol(self, app, group, user, some, replace, info):
        there = self.group_of(app, group)
        person = None if there is None else there.get(user)
        kept = {} if person is None or replace else person.faces
        code = None
        if there is None:
            code = "group_not_found"
        elif len(kept) + len(some) > LIMIT:
            code = "too_many_faces"
        batch = [Enrolment(group, user, NewFace(VECTORS[seed], MODEL), info) for seed in some]
        tokens = self.expect(code, lambda: self.library.enrol(app, batch, replace))
        if tokens is not None:
            person = there.setdefault(user, person or Person(next(self.numbers)))
            person.faces = {**kept, **dict(zip(tokens, some))}
            person.info = person.info if info is None else info

    @rule(app=apps, group=groups, user=users, data=st.data())
    def delete_face(self, app, group, user, data):
        there = self.group_of(app, group)
        person = (there or {}).get(user)
        tokens = sorted(person.faces) if person else ["unknown"]
        token = data.draw(st.sampled_from(tokens))
        code = None
        if there is None:
            code = "group_not_found"
        elif person is None:
            code = "user_not_found"
        self.expect(code, lambda: self.library.delete_face(app, group, user, token))
        if code is None:
            del person.faces[token]
            if not person.faces:
                del there[user]

    @rule(app=apps, group=groups | st.none(), user=users)
    def delete_user(self, app, group, user):
        if group is None:
            having = [name for name, there in self.model.get(app, {}).items() if user in there]
            code = None if having else "user_not_found"
        else:
            having = [group]
            code = None if user in (self.group_of(app, group) or {}) else "user_not_found"
            code = "group_not_found" if self.group_of(app, group) is None else code
        self.expect(code, lambda: self.library.delete_user(app, user, group))
        if code is None:
            for name in having:
                del self.model[app][name][user]

    @rule(app=apps, user=users, source=groups, into=groups)
    def copy_user(self, app, user, source, into):
        if source == into:
            return
        from_, to = self.group_of(app, source), self.group_of(app, into)
        code = None
        if from_ is None or to is None:
            code = "group_not_found"
        elif user not in from_:
            code = "user_not_found"
        elif user in to:
            code = "user_exists"
        self.expect(code, lambda: self.library.copy_user(app, user, source, into))
        if code is None:
            old = from_[user]
            to[user] = Person(next(self.numbers), old.info, dict(old.faces))

    @rule(app=apps, wanted=st.none() | st.lists(groups, min_size=1, max_size=3, unique=True),
          k=st.integers(1, 6), threshold=st.sampled_from([0.0, 0.0, 50.0, 80.0]))  # fmt: skip
    def search(self, app, wanted, k, threshold):
        code = None
        if wanted is not None and any(self.group_of(app, group) is None for group in wanted):
            code = "group_not_found"
        elif app not in self.model:
            code = "app_not_found"
        found = self.expect(code, lambda: self.library.search(app, QUERIES, wanted, k, threshold))
        if found is not None:
            for query, hits in zip(QUERIES, found):
                expected = self.expected(app, wanted, query)
                expected = [one for one in expected[:k] if one[3] >= threshold]
                assert [(h.group, h.user, h.info) for h in hits] == [e[:3] for e in expected]
                scores = [e[3] for e in expected]
                np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-2)

    def expected(self, app, wanted, query):
        """(group, user, info, score) of all who can be found, best first."""
        rows = []
        for group, people in self.model[app].items():
            if wanted is None or group in wanted:
                for user, person in people.items():
                    cosine = max(float(VECTORS[seed] @ query) for seed in person.faces.values())
                    score = float(RECOGNISER.scores.of_cosine(cosine))
                    rows.append((-round(cosine, 5), person.number, group, user, person.info, score))
        return [row[2:] for row in sorted(rows)]

    @precondition(lambda self: self.model)
    @rule(often=st.integers(0, 9))
    def restart(self, often):
        if often == 0:
            self.library.close()
            self.library = self.opened()


class SmallBlocks(ApproximateIndex):
    """Blocks so small that a few faces fill some, and all of them are candidates."""

    sketched = 0

    def __init__(self, collection, **settings):
        super().__init__(collection, **settings, block_rows=16)

    def _likely(self, view, *others):
        full = sum(block.sketch is not None for block in view.blocks)
        SmallBlocks.sketched = max(SmallBlocks.sketched, full)
        return super()._likely(view, *others)


def run(index_settings, steps, people=0):
    """Random operations, at least so many, on libraries with that kind of index."""

    class Machine(LibraryMachine):
        index = index_settings
        regulars = people

    run_state_machine_as_test(
        Machine,
        settings=settings(
            # Few end early.
            max_examples=steps * 11 // (10 * STEPS_A_LIBRARY) + 1,
            stateful_step_count=STEPS_A_LIBRARY,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Machine.steps >= steps


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.timeout(600)
def test_two_apps_are_as_a_plain_model_says_and_never_see_each_others_faces():
    run({"kind": "exact"}, STEPS)


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.timeout(600)
def test_they_are_in_the_approximate_index_too(monkeypatch):
    monkeypatch.setattr(memory_storage, "ApproximateIndex", SmallBlocks)
    run({"kind": "approximate", "approximate_from": 1}, STEPS, people=12)
    assert SmallBlocks.sketched >= 2, "sketches were looked through"


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.timeout(180 + MILVUS_STEPS)
def test_they_are_in_milvus_too():
    run({"kind": "milvus", "milvus_uri": "index.db"}, MILVUS_STEPS)
