"""Who may decode, and who waits."""

from __future__ import annotations

from ops.pictures.pixel_budget import PixelBudget


def test_there_is_room_again_when_a_request_is_done():
    budget = PixelBudget(100, 100)
    first = budget.reserve(70, "first")
    assert first is not None
    assert not budget.fits(40, "second")
    assert budget.reserve(40, "second") is None
    budget.release(first)
    assert budget.fits(40, "second")
    assert budget.reserve(40, "second") is not None


def test_the_largest_picture_always_has_a_place():
    assert PixelBudget(100, 100).most == 100
    assert PixelBudget(100, 200).most == 100
    assert PixelBudget(800, 100).most == 700


def test_small_requests_pass_a_large_one_that_waits():
    budget = PixelBudget(800, 100)  # 100 of them for requests of 25 at most
    first = budget.reserve(400, "first")
    assert first is not None
    assert budget.reserve(600, "large") is None
    passed = [budget.reserve(25, f"small {n}") for n in range(6)]
    assert [bool(reservation) for reservation in passed] == [True] * 4 + [False] * 2
    assert budget.reserve(26, "not so small") is None
    budget.release(first)
    assert budget.fits(600, "large")


def test_large_requests_are_served_in_the_order_in_which_they_came():
    budget = PixelBudget(800, 100)
    running = budget.reserve(700, "running")
    assert running is not None
    for name in ("first", "second"):
        assert budget.reserve(300, name) is None
    budget.release(running)
    assert not budget.fits(300, "second")
    assert budget.reserve(300, "first") is not None
    assert budget.reserve(300, "second") is not None


def test_a_request_that_was_given_up_holds_up_nobody():
    budget = PixelBudget(800, 100)
    running = budget.reserve(700, "running")
    assert running is not None
    for name in ("first", "second"):
        assert budget.reserve(300, name) is None
    budget.release(running)
    budget.forget("first")
    assert budget.reserve(300, "second") is not None


def test_nothing_is_held_when_all_have_given_back():
    budget = PixelBudget(800, 100)
    held = [budget.reserve(25, n) for n in range(40)]
    for reservation in held:
        if reservation is not None:
            budget.release(reservation)
    for n in range(40):
        budget.forget(n)
    assert budget.reserve(700, "large") is not None
