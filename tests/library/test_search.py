"""What a search finds, how it scores, and what it refuses."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from inference.scores import Recogniser, Scores
from library.errors import LibraryError
from library.library import Library
from library.records import Enrolment, NewFace
from tests.support.libraries.faces import DIM, MODEL, enrolment, vectors
from tests.support.libraries.in_folder import RECOGNISER, library_config, open_library, users

MOBILEFACENET = Scores(impostor_mean=0.007, threshold=0.384)


@pytest.fixture
def library(tmp_path):
    with open_library(tmp_path) as opened:
        opened.create_group("shop", "staff")
        opened.create_group("shop", "guests")
        yield opened


def code_of(call):
    with pytest.raises(LibraryError) as caught:
        call()
    return caught.value.code


def between(a, b, share):
    """A unit vector on the way from a to b."""
    made = (1 - share) * a + share * b
    return made / np.linalg.norm(made)


@pytest.mark.parametrize("scores", [MOBILEFACENET, Scores(0.855, 0.933)])
def test_a_score_is_80_at_the_threshold_100_at_identity_and_0_up_to_the_mean_of_others(scores):
    cosines = [-1.0, scores.impostor_mean, scores.threshold, 1.0]
    np.testing.assert_allclose(scores.of_cosine(cosines), [0, 0, 80, 100])
    rising = scores.of_cosine(np.linspace(-1, 1, 10_001))
    assert (np.diff(rising) >= 0).all()
    assert scores.of_cosine([[1.1, -np.inf], [np.nan, 1.0]]).tolist() == [[100, 0], [0, 100]]


def test_the_cosine_of_a_score_has_that_score():
    scores = np.linspace(0.001, 100, 1000)
    cosines = MOBILEFACENET.cosine_of(scores)
    np.testing.assert_allclose(MOBILEFACENET.of_cosine(cosines), scores, atol=1e-9)
    assert MOBILEFACENET.cosine_of(0) == -1


@pytest.mark.parametrize("cosines", [(0.5, 0.5), (0.6, 0.5), (-1.1, 0.5), (0.5, 1.0)])
def test_two_cosines_that_cannot_calibrate_are_refused(cosines):
    with pytest.raises(ValueError, match="is expected"):
        Scores(*cosines)


def test_the_best_of_a_users_faces_is_the_users_score(library):
    a, b = vectors(2)
    library.enrol("shop", [enrolment("staff", "ann", seed) for seed in range(5, 15)])
    library.enrol("shop", [Enrolment("staff", "ann", NewFace(between(a, b, 0.3), MODEL))])
    library.enrol("shop", [Enrolment("staff", "bob", NewFace(between(a, b, 0.4), MODEL))])
    (hits,) = library.search("shop", [a], users=2)
    assert users(hits) == ["ann", "bob"]
    assert hits[0].cosine == pytest.approx(float(a @ between(a, b, 0.3)), abs=1e-5)
    assert hits[0].score == pytest.approx(float(RECOGNISER.scores.of_cosine(hits[0].cosine)))


def test_the_best_users_of_several_groups_come_with_group_and_info(library):
    library.enrol("shop", [enrolment("staff", "ann", 1, info="till 3")])
    library.enrol("shop", [enrolment("guests", "cem", 1), enrolment("guests", "dan", 2)])
    (hits,) = library.search("shop", vectors(1, 1), ["guests", "staff"], users=2)
    assert [(hit.group, hit.user, hit.info) for hit in hits] == [
        ("staff", "ann", "till 3"),
        ("guests", "cem", ""),
    ]
    assert users(library.search("shop", vectors(1, 1), ["guests"])[0])[0] == "cem"


def test_users_of_equal_score_come_in_the_order_of_their_enrolment(library):
    names = ["zoe", "ann", "mia", "bob"]
    for name in names:
        library.enrol("shop", [enrolment("staff", name, 1)])
    for _ in range(3):
        assert users(library.search("shop", vectors(1, 1))[0]) == names


def test_only_scores_from_the_threshold_on_count(library):
    a, b = vectors(2)
    for name, share in (("ann", 0.0), ("bob", 0.45), ("cem", 1.0)):
        library.enrol("shop", [Enrolment("staff", name, NewFace(between(a, b, share), MODEL))])
    (everybody,) = library.search("shop", [a])
    middle = everybody[1].score
    assert users(library.search("shop", [a], threshold=middle)[0]) == ["ann", "bob"]
    assert users(library.search("shop", [a], threshold=middle + 0.01)[0]) == ["ann"]


def test_many_queries_in_one_pass_find_what_each_finds_alone(library):
    library.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(50)])
    queries = vectors(40, seed=99)
    together = library.search("shop", queries, users=3)
    for query, hits in zip(queries, together):
        (alone,) = library.search("shop", [query], users=3)
        assert users(alone) == users(hits)
        np.testing.assert_allclose(
            [hit.score for hit in alone], [hit.score for hit in hits], atol=1e-3
        )


def test_a_group_without_faces_has_no_hits(library):
    assert library.search("shop", vectors(3), ["staff"]) == [[], [], []]
    library.enrol("shop", [enrolment("guests", "ann", 1)])
    assert library.search("shop", vectors(1, 1), ["staff"]) == [[]]
    assert library.search("shop", []) == []


def test_one_user_is_compared_by_all_faces(library):
    library.enrol("shop", [enrolment("staff", "ann", seed, info="x") for seed in (1, 2)])
    hit = library.score_user("shop", "staff", "ann", vectors(1, 2)[0])
    assert (hit.group, hit.user, hit.info) == ("staff", "ann", "x")
    assert hit.score == pytest.approx(100, abs=1e-3)
    assert code_of(lambda: library.score_user("shop", "staff", "bob", vectors(1)[0])) == (
        "user_not_found"
    )


def test_what_cannot_be_searched_is_refused_with_its_code(library):
    (query,) = vectors(1)
    refused = {
        "group_not_found": lambda: library.search("shop", [query], ["nobody"]),
        "app_not_found": lambda: library.search("bank", [query]),
        "invalid_id": lambda: library.search("sh op", [query], ["staff"]),
        "invalid_embedding": lambda: library.search("shop", [np.full(DIM, np.nan)]),
        "model_mismatch": lambda: library.search("shop", vectors(1, dim=DIM + 1)),
        "invalid_value": lambda: library.search("shop", [query], users=0),
        "limit_exceeded": lambda: library.search("shop", [query], users=51),
    }
    for code, call in refused.items():
        assert code_of(call) == code
    assert code_of(lambda: library.search("shop", [query], [])) == "invalid_value"
    assert code_of(lambda: library.search("shop", [query], "staff")) == "invalid_value"
    assert code_of(lambda: library.search("shop", [query], threshold=101)) == "invalid_value"
    assert code_of(lambda: library.search("shop", [query], ["staff"] * 11)) == "limit_exceeded"
    assert code_of(lambda: library.search("shop", vectors(1001))) == "limit_exceeded"
    assert code_of(lambda: library.search("bank", [query], ["staff"])) == "group_not_found"


def test_faces_of_another_recogniser_are_neither_enrolled_nor_compared(library, tmp_path):
    assert code_of(
        lambda: library.enrol("shop", [enrolment("staff", "ann", 1, model="another")])
    ) == ("model_mismatch")
    library.enrol("shop", [enrolment("staff", "ann", 1)])
    other = Recogniser("another", DIM, RECOGNISER.scores)
    with Library(library_config(tmp_path), other) as moved:
        assert code_of(lambda: moved.search("shop", vectors(1, 1))) == "model_mismatch"
        assert code_of(lambda: moved.score_user("shop", "staff", "ann", vectors(1, 1)[0])) == (
            "model_mismatch"
        )


@pytest.mark.parametrize("turns", [1, 2, 3, 15])
def test_threads_that_write_find_what_they_have_written_at_once(library, turns):
    """Few turns, so that most of it happens while the index is opened for the first faces."""
    missed = []
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        for turn in range(turns):
            name, seed = f"u{number}_{turn}", 1000 * number + turn
            library.enrol("shop", [enrolment("staff", name, seed)])
            if users(library.search("shop", vectors(1, seed), users=1)[0]) != [name]:
                missed.append(name)
            if turn % 3 == 0:
                library.delete_user("shop", name)
                if name in users(library.search("shop", vectors(1, seed))[0]):
                    missed.append(f"deleted {name}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert missed == []
