from __future__ import annotations

from pathlib import Path

import pytest

from engine.core.errors import InputError
from tui.given import Given, parse_given


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("", Given()),
        ("--results there", Given(results=Path("there"))),
        ("--results=there --readonly --ascii", Given(results=Path("there"), is_readonly=True, is_ascii=True)),
        ("--no-mouse --theme ansi-dark", Given(has_mouse=False, theme="ansi-dark")),
        ("--headless run file --set a=b", Given(is_headless=True, command=("run", "file", "--set", "a=b"))),
        ("ls --results there --json", Given(command=("ls", "--results", "there", "--json"))),
        ("--results here ls --results there", Given(results=Path("here"), command=("ls", "--results", "there"))),
        ("-- ls", Given(command=("ls",))),
        ("-h", Given(is_asking_help=True)),
        ("run --help", Given(command=("run", "--help"))),
        ("--version", Given(is_asking_version=True)),
    ],
)
def test_the_options_before_the_command_are_ours_and_the_rest_is_the_command_s(line: str, given: Given) -> None:
    assert parse_given(line.split()) == given


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--nope", "no such option: --nope"),
        ("--nope=3 ls", "no such option: --nope"),
        ("--result there", "no such option: --result"),
        ("-x", "no such option: -x"),
        ("--results", "--results: expected one argument"),
        ("--readonly=yes", "--readonly: ignored explicit argument 'yes'"),
    ],
)
def test_an_option_that_cannot_be_understood_is_one_line(line: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_given(line.split())
    assert str(caught.value).startswith(said)
    assert "ddptui --help" in str(caught.value)
