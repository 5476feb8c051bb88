"""The bench that kills: what it takes for true, and what it notices."""

from __future__ import annotations

import random

import pytest

from bench.kills import kills_bench as kills
from bench.kills.clients.asking import DATABASE, Answer, End, end_of
from bench.kills.keys import Keys, LateAnswer, LiveKey, RevokedKey, Trouble
from bench.kills.kinds import COMMANDS, FRONT, SERVER, Round
from bench.kills.record import FINDINGS, Record
from bench.kills.truth import GROUP, Finding, Ledger, Person

ADA, BOB = ("staff", "u1_ada"), ("staff", "u1_bob")


def person(*tokens, info=""):
    return Person(frozenset(tokens), info)


@pytest.fixture
def ledger():
    made = Ledger("shop", "u1")
    made.acknowledge(made.begin("enrol", {ADA: Person(info="", more=1)}), "a")
    return made


def looked(ledger, key, seen):
    return [one.kind for one in ledger.look(key, seen, ledger.watch(key))]


def test_what_was_acknowledged_has_to_be_there(ledger):
    assert ledger.settled[ADA] == person("a")
    assert looked(ledger, ADA, person("a")) == []
    assert looked(ledger, ADA, None) == ["lost"]
    # It is told once.
    assert looked(ledger, ADA, None) == []


def test_a_face_less_or_another_info_is_lost_and_a_face_more_is_resurrected(ledger):
    ledger.settled[ADA] = person("a", "b")
    assert looked(ledger, ADA, person("b")) == ["lost"]
    assert looked(ledger, ADA, person("b", info="other")) == ["lost"]
    assert looked(ledger, ADA, person("b", "c", info="other")) == ["resurrected"]


def test_what_was_deleted_must_not_come_back(ledger):
    ledger.acknowledge(ledger.begin("delete a user", {ADA: None}))
    assert looked(ledger, ADA, None) == []
    assert looked(ledger, ADA, person("a")) == ["resurrected"]


def test_what_was_refused_was_not_done(ledger):
    ledger.refuse(ledger.begin("delete a user", {ADA: None}))
    assert looked(ledger, ADA, person("a")) == []
    assert ledger.is_free(ADA)


def test_an_unknown_outcome_may_be_either_and_stays_what_it_was_found_to_be(ledger):
    ledger.doubt(ledger.begin("delete a user", {ADA: None}), lambda: True)
    assert not ledger.is_free(ADA)
    assert looked(ledger, ADA, None) == []
    assert ledger.is_free(ADA)
    assert looked(ledger, ADA, person("a")) == ["resurrected"]
    ledger.doubt(ledger.begin("enrol", {BOB: Person(more=1)}), lambda: True)
    assert looked(ledger, BOB, person("b")) == []
    assert looked(ledger, BOB, None) == ["lost"]


def test_that_it_was_not_done_is_believed_once_nobody_can_do_it_any_more(ledger):
    over = []
    ledger.doubt(ledger.begin("delete a user", {ADA: None}), lambda: bool(over))
    assert looked(ledger, ADA, person("a")) == []
    assert not ledger.is_free(ADA)
    # A look that began before does not count either.
    watch = ledger.watch(ADA)
    over.append(True)
    assert ledger.look(ADA, person("a"), watch) == []
    assert not ledger.is_free(ADA)
    assert looked(ledger, ADA, person("a")) == []
    assert ledger.is_free(ADA)


def test_half_of_an_operation_is_neither_outcome(ledger):
    ledger.settled[ADA] = person("a", "b")
    copy = ("guests", "u1_ada")
    ledger.doubt(ledger.begin("copy", {copy: person("a", "b"), ADA: person("a", "b")}), lambda: 1)
    assert looked(ledger, copy, person("a")) == ["half"]


def test_an_operation_on_several_users_is_done_for_all_or_for_none(ledger):
    ledger.acknowledge(ledger.begin("enrol", {BOB: Person(more=1)}), "b")
    everybody = {ADA: None, BOB: None, ("staff", ""): None}
    ledger.settled["staff", ""] = GROUP
    ledger.doubt(ledger.begin("delete a group", everybody), lambda: True)
    assert looked(ledger, ("staff", ""), None) == []
    assert ledger.is_free(BOB)
    assert looked(ledger, BOB, person("b")) == ["resurrected"]


def test_the_faces_of_a_group_are_those_that_may_be_in_it(ledger):
    both = {ADA: person("a", "b"), BOB: person("c")}
    operation = ledger.begin("copy", both)
    assert ledger.tokens_in("staff") == {"a", "b", "c"}
    assert ledger.tokens_in("guests") == set()
    ledger.refuse(operation)
    assert ledger.tokens_in("staff") == {"a"}


def test_a_user_has_one_operation_at_a_time(ledger):
    ledger.begin("delete a user", {ADA: None})
    with pytest.raises(ValueError, match="already"):
        ledger.begin("enrol", {ADA: Person(more=1)})
    # Nor does a look count that was made meanwhile.
    assert looked(ledger, ADA, None) == []


def test_a_listing_is_compared_but_for_what_was_touched_meanwhile(ledger):
    ledger.acknowledge(ledger.begin("enrol", {BOB: Person(more=1)}), "b")
    mark = ledger.mark()
    assert ledger.compare(mark, {ADA: person("a"), BOB: person("b")}) == []
    assert [one.kind for one in ledger.compare(mark, {BOB: person("b")})] == ["lost"]
    stranger = {ADA: person("a"), BOB: person("b"), ("staff", "u1_eve"): person("e")}
    assert [one.kind for one in ledger.compare(mark, stranger)] == ["resurrected"]
    ledger.acknowledge(ledger.begin("delete a user", {ADA: None}))
    assert ledger.compare(mark, {BOB: person("b")}) == []
    assert ledger.compare_names(mark, "staff", ["u1_bob"]) == []
    assert [one.kind for one in ledger.compare_names(mark, "staff", [])] == ["lost"]


def test_groups_are_compared_as_users_are(ledger):
    ledger.acknowledge(ledger.begin("add a group", {("guests", ""): GROUP}))
    mark = ledger.mark()
    assert ledger.compare_groups(mark, ["guests"]) == []
    assert [one.kind for one in ledger.compare_groups(mark, [])] == ["lost"]
    assert [one.kind for one in ledger.compare_groups(mark, ["guests", "x"])] == ["resurrected"]


def test_faces_of_an_import_have_tokens_that_nobody_told(ledger):
    ledger.acknowledge(ledger.begin("library import", {BOB: Person(more=2)}))
    assert ledger.compare(ledger.mark(), {ADA: person("a"), BOB: person("x", "y")}) == []
    assert ledger.compare_names(ledger.mark(), "staff", ["u1_ada", "u1_bob"]) == []
    assert looked(ledger, BOB, person("x", "y", info="Bob")) == []
    assert looked(ledger, BOB, person("x", "z", info="Bob")) == ["lost"]


def test_after_a_failure_of_the_database_nobody_knows_and_other_errors_mean_that_it_was_not_done():
    assert end_of(0) is End.DONE
    assert end_of(DATABASE) is End.UNKNOWN
    assert [end_of(code) for code in (18, 110, 223103, 222901)] == [End.REFUSED] * 4


KEY = LiveKey("ak_1", "secret", "shop")


def late(after, started=0.0, now=1000.0):
    answer = Answer(End.DONE, 0, {}, now + after, now + after + 0.01)
    return LateAnswer(RevokedKey(KEY, now, ""), answer, started)


def judged(one, trouble):
    keys = Keys(trouble, random.Random(0))
    keys.late.append(one)
    ((_, finding),) = keys.judge()
    return finding is None


def quick_lookups(trouble, start, count=20):
    for number in range(count):
        sent = start + 0.1 * number
        trouble.note_lookup(Answer(End.REFUSED, 110, None, sent, sent + 0.01))


def test_a_revoked_key_may_be_answered_for_a_second_and_never_after_a_restart():
    trouble = Trouble()
    quick_lookups(trouble, 1000.0)
    assert judged(late(0.9), trouble)
    assert not judged(late(1.5), trouble)
    assert not judged(late(1.5, started=1000.5), trouble)


def test_while_the_database_is_away_or_slow_a_gateway_goes_by_what_it_knows_for_a_minute():
    trouble = Trouble()
    quick_lookups(trouble, 1000.0, 400)
    assert not judged(late(20.0), trouble)
    trouble.note_outage(1019.0, 1021.0)
    assert judged(late(20.0), trouble)
    assert not judged(late(20.0, started=1010.0), trouble)
    assert not judged(late(70.0), Trouble())
    slow = Trouble()
    quick_lookups(slow, 1000.0)
    slow.note_lookup(Answer(End.REFUSED, 110, None, 1001.0, 1001.6))
    assert judged(late(1.5), slow)


def test_a_key_is_revoked_only_while_others_of_its_app_are_left():
    keys = Keys(Trouble(), random.Random(0))
    for number in range(3):
        keys.add(LiveKey(f"ak_{number}", "secret", "shop"))
    taken = keys.take()
    assert taken is not None
    assert not keys.is_live(taken)
    assert keys.take() is None
    keys.unsure.append(taken)
    assert keys.take() == taken


def test_each_round_has_every_kind_and_the_order_follows_from_the_seed():
    one, same = (Round(True, 100, random.Random(5)) for _ in range(2))
    assert (one.front, one.commands, one.server) == (same.front, same.commands, same.server)
    assert set(one.front) == set(FRONT)
    assert set(one.commands) == set(COMMANDS)
    assert set(one.server) == set(SERVER)
    short = Round(False, 7, random.Random(5))
    assert len(short.front) + len(short.commands) == 7
    assert short.server == []


def test_a_run_is_a_success_only_where_nothing_was_found():
    record = Record("sqlite", 0)
    assert record.complaints() == []
    for kind in FINDINGS:
        record.findings = [Finding(kind, "somewhere", "something")]
        assert record.complaints() == [f"1 {FINDINGS[kind]}"]
    assert record.to_dict()["counts"]["verify"] == 0


def test_wrong_arguments_are_refused(capsys):
    for wrong in (["--kills", "0"], ["--database", "oracle"], ["--json", "/no/such/folder/x"]):
        with pytest.raises(SystemExit):
            kills.main(wrong)
    assert "Usage" in capsys.readouterr().err
