"""The question to this machine, with a made ``/proc`` and ``/etc`` and programs that answer as recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import logout

USER = "ada"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/user.slice/user-1000.slice/session-7.scope\n")
    (tmp_path / "etc/systemd/logind.conf.d").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/logind.conf.d").mkdir(parents=True)
    monkeypatch.setattr(logout, "_user", lambda: USER)
    monkeypatch.setattr(logout, "_output", lambda *argv: "")
    return tmp_path


def write(root: Path, name: str, value: str) -> None:
    (root / name).write_text(f"[Login]\nKillUserProcesses={value}\n")


def test_drop_ins_count_by_name_and_etc_stands_in_for_usr(root: Path) -> None:
    write(root, "etc/systemd/logind.conf", "no")
    assert logout.warn_of_logout(root) == ""
    write(root, "usr/lib/systemd/logind.conf.d/50-kill.conf", "yes")
    assert "KillUserProcesses=yes" in logout.warn_of_logout(root)
    write(root, "etc/systemd/logind.conf.d/50-kill.conf", "no")
    assert logout.warn_of_logout(root) == ""


def test_the_running_logind_knows_better_than_the_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, "etc/systemd/logind.conf", "no")
    monkeypatch.setattr(logout, "_output", lambda *argv: "b true\n" if argv[0] == "busctl" else "Linger=yes\n")
    assert "enable-linger" not in logout.warn_of_logout(root)
    assert "systemd-run --user --scope" in logout.warn_of_logout(root)


def test_the_file_of_a_lingering_user_is_enough(root: Path) -> None:
    write(root, "etc/systemd/logind.conf", "yes")
    assert "enable-linger" in logout.warn_of_logout(root)
    (root / "var/lib/systemd/linger").mkdir(parents=True)
    (root / "var/lib/systemd/linger" / USER).touch()
    assert "enable-linger" not in logout.warn_of_logout(root)


def test_where_no_systemd_is_nothing_is_asked_and_nothing_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "proc/self/cgroup").write_text("0::/\n")

    def refuse(*argv: str) -> str:
        raise AssertionError(argv)

    monkeypatch.setattr(logout, "_output", refuse)
    assert logout.warn_of_logout(root) == ""
