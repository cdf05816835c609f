from __future__ import annotations

import pytest

from engine.core.logind import LogoutRule, Place, describe_logout, find_place, parse_answer, parse_config

SESSION = "0::/user.slice/user-1000.slice/session-7.scope\n"
SESSION_V1 = "4:memory:/user.slice\n1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n"
MANAGER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1f0.scope\n"
SLURM = "0::/system.slice/slurmstepd.scope/job_12/step_0/user/task_0\n"

MAIN = """\
# See logind.conf(5) for details.
[Login]
#NAutoVTs=6
#KillUserProcesses=no
;KillUserProcesses=no
KillExcludeUsers=root admin
"""


@pytest.mark.parametrize(
    ("cgroup", "place"),
    [
        (SESSION, Place(is_in_session=True)),
        (SESSION_V1, Place(is_in_session=True)),
        (MANAGER, Place(is_in_manager=True)),
        (SLURM, Place()),
        ("0::/\n", Place()),
        ("", Place()),
        ("garbage\n", Place()),
        ("0::/user.slice/mysession-1.scoped/x\n", Place()),
    ],
)
def test_the_control_group_tells_where_a_process_stands(cgroup: str, place: Place) -> None:
    assert find_place(cgroup) == place


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Linger=yes\n", True),
        ("Linger=no\n", False),
        ("b true\n", True),
        ("b false\n", False),
        ("", None),
        ("s x", None),
    ],
)
def test_the_answers_of_loginctl_and_busctl_are_read(text: str, answer: bool | None) -> None:
    assert parse_answer(text) is answer


def test_what_a_drop_in_says_last_holds_and_comments_say_nothing() -> None:
    assert parse_config([MAIN]) == LogoutRule(is_killing=None, excluded=frozenset({"root", "admin"}))
    drop_in = "[Other]\nKillUserProcesses=no\n[Login]\nKillUserProcesses = yes\nKillOnlyUsers=ada eve\n"
    rule = parse_config(["[Login]\nKillUserProcesses=no\n", drop_in])
    assert rule.is_killing is True
    assert rule.applies_to("ada")
    assert not rule.applies_to("bob")
    assert not rule.applies_to("root")


def test_a_session_that_is_ended_is_named_with_both_steps_of_the_way_out() -> None:
    kills = LogoutRule(is_killing=True)
    line = describe_logout(Place(is_in_session=True), kills, user="ada", is_lingering=False)
    assert "KillUserProcesses=yes" in line
    assert "loginctl enable-linger" in line
    assert "systemd-run --user --scope" in line
    assert "Slurm" in line
    lingering = describe_logout(Place(is_in_session=True), kills, user="ada", is_lingering=True)
    assert "systemd-run --user --scope" in lingering, "a session's scope ends all the same"
    assert "enable-linger" not in lingering


def test_below_the_users_manager_only_lingering_counts() -> None:
    line = describe_logout(Place(is_in_manager=True), LogoutRule(), user="ada", is_lingering=False)
    assert "loginctl enable-linger" in line
    assert describe_logout(Place(is_in_manager=True), LogoutRule(is_killing=True), user="ada", is_lingering=True) == ""


@pytest.mark.parametrize(
    ("place", "rule", "user"),
    [
        (Place(is_in_session=True), LogoutRule(is_killing=False), "ada"),
        (Place(is_in_session=True), LogoutRule(is_killing=None), "ada"),
        (Place(is_in_session=True), LogoutRule(is_killing=True), "root"),
        (Place(), LogoutRule(is_killing=True), "ada"),
    ],
)
def test_where_nothing_is_ended_nothing_is_said(place: Place, rule: LogoutRule, user: str) -> None:
    assert describe_logout(place, rule, user=user, is_lingering=False) == ""
