"""Schedules are judged as the CronJob controller's parser judges them."""

import pytest
from gitops_policy.notations.cron import fault
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "0 2 * * *",
        "  0   2 * *   * ",
        "*/5 */2 */3 */4 */6",
        "0,30 1-5 1-31 1-12 0-6",
        "5/10 * * * *",
        "0 0 * JAN,dec Mon-fri",
        "0 0 31 1-4 *",
        "0 0 30 2 1",
        "0 0 29 2 *",
        "? * * * ?",
        "@hourly",
        "@midnight",
        "@every 90s",
        "@every 1h0.5m",
        "*/100 * * * *",
    ],
)
def test_schedules_that_run(schedule: str) -> None:
    assert fault(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("60 * * * *", "not within 0 to 59"),
        ("* 24 * * *", "not within 0 to 23"),
        ("* * 0 * *", "not within 1 to 31"),
        ("* * * 13 *", "not within 1 to 12"),
        ("* * * * 7", "not within 0 to 6"),
        ("5-1 * * * *", "not within"),
        ("*/0 * * * *", "has the step '0'"),
        ("1/ * * * *", "has the step ''"),
        ("1-2-3 * * * *", "is no number"),
        ("a * * * *", "is no number"),
        ("-1 * * * *", "is no number"),
        ("* * L * *", "is no number"),
        ("* * * foo *", "is no number"),
        ("@reboot", "is none of"),
        ("@every", "is none of"),
        ("@every day", "is none of"),
        ("@Daily", "is none of"),
        ("0 0 30 2 *", "that none of its months has"),
        ("0 0 31 4,6,9,11 *", "that none of its months has"),
    ],
)
def test_schedules_that_do_not(schedule: str, reason: str) -> None:
    assert reason in fault(schedule)


def test_six_fields_where_seconds_are_asked_for() -> None:
    assert fault("0 0 2 * * *", seconds=True) == ""
    assert "has 5 fields, not 6" in fault("0 2 * * *", seconds=True)
    assert "not within 0 to 59" in fault("60 0 2 * * *", seconds=True)


def test_a_zone_in_front_is_read_where_a_kind_allows_it() -> None:
    assert fault("CRON_TZ=Europe/Berlin 0 2 * * *") == ""


@given(st.text(max_size=40))
def test_any_text_is_judged(schedule: str) -> None:
    assert isinstance(fault(schedule), str)
