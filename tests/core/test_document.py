"""Places of keys and values, and files that are no TOML."""

import random

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.document import MAX_DEPTH, decode_text, nested_values, parse_document
from engine.core.errors import InputError


def refused(text):
    with pytest.raises(InputError) as caught:
        parse_document(text, "x.toml")
    assert all("\n" not in str(problem) for problem in caught.value.problems)
    return caught.value.problems


TEXT = '''title = "a # b"
a.b = 1          # dotted
"quoted key".'x' = 2
[table."y z"]
inline = { one = 1, two.three = [10, [20,
    30]] }
text = """
several
lines""" # end
after = true

[[array]]
n = 1
[[array.inner]]
d = 1
[[array]]
[[array.inner]]
d = 2
[[array.inner]]
[array.inner.deep]
d = 3
'''


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("title",), (1, 1), (1, 9)),
        (("a", "b"), (2, 3), (2, 7)),
        (("quoted key", "x"), (3, 14), (3, 20)),
        (("table", "y z", "inline"), (5, 1), (5, 10)),
        (("table", "y z", "inline", "one"), (5, 12), (5, 18)),
        (("table", "y z", "inline", "two", "three"), (5, 25), (5, 33)),
        (("table", "y z", "inline", "two", "three", 0), (5, 34), (5, 34)),
        (("table", "y z", "inline", "two", "three", 1, 1), (6, 5), (6, 5)),
        (("table", "y z", "text"), (7, 1), (7, 8)),
        (("table", "y z", "after"), (10, 1), (10, 9)),
        (("array", 0, "n"), (13, 1), (13, 5)),
        (("array", 0, "inner", 0, "d"), (15, 1), (15, 5)),
        (("array", 1, "inner", 0, "d"), (18, 1), (18, 5)),
        (("array", 1, "inner", 1, "deep", "d"), (21, 1), (21, 5)),
    ],
)
def test_every_key_and_value_has_its_place(path, key, value):
    document = parse_document(TEXT, "x.toml")
    assert (document.key_position(path), document.position(path)) == (key, value)


def test_every_path_of_the_data_is_known():
    document = parse_document(TEXT, "x.toml")
    assert document.data == tomli.loads(TEXT)
    unknown = [path for path, _ in nested_values(document.data) if not document.knows(path)]
    assert unknown == []


def test_tables_stand_at_their_header():
    document = parse_document(TEXT, "x.toml")
    assert document.position(("table", "y z")) == (4, 8)
    assert document.position(("array", 1)) == (16, 3)
    assert document.position(("array", 1, "missing", "deeper")) == (16, 3)
    assert document.position(("nowhere",)) == (1, 1)


def test_columns_count_characters_not_bytes():
    document = parse_document('"ü" = { "é" = "ñ", b = 1 }\n', "x.toml")
    assert document.position(("ü", "b")) == (1, 24)


def test_windows_line_ends_do_not_move_lines():
    assert parse_document("a = 1\r\n\r\nb = 2\r\n", "x.toml").position(("b",)) == (3, 5)


def test_what_toml_1_1_adds_keeps_its_places():
    document = parse_document('a = {\n  b = 1,\n  c = [\n    2,\n  ],\n}\ns = "\\e\\x41"\nz = 1\n', "x.toml")
    assert document.position(("a", "c", 0)) == (4, 5)
    assert document.position(("s",)) == (7, 5)
    assert document.position(("z",)) == (8, 5)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a = 1\nb = ddp\n", 2, 5, "quotes"),
        ("a = 1\nb\n", 2, 2, "expected '='"),
        ('a = "x\n', 1, 7, "no closing quote on its line"),
        ("ä = 1", 1, 1, ""),
        ("a = 1\n\na = 2\n", 3, 6, "already given"),
        ("a = 1\n= 2", 2, 1, "key"),
        ('a = """\nx\n', 2, 2, "not closed"),
        ("\ufeffa = 1", 1, 1, "byte order mark"),
        ("a = 1\nb = '\0'", 2, 6, "NUL"),
        ("a = '\ud800'", 1, 6, "half a character"),
        ("a = 1\nb = 1" + "0" * 5000, 2, 5, "digits"),
        ("a = 1\nb = 9223372036854775808", 2, 5, "64 bits"),
        ("a = 1\nb = [1, nan]", 2, 9, "finite"),
        ("a = -inf", 1, 5, "finite"),
        ("a = 1979-05-27", 1, 5, "date"),
        ("a = 07:32:00", 1, 5, "quotes"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_at_its_place(text, line, column, words):
    problem = refused(text)[0]
    assert (problem.line, problem.column) == (line, column)
    assert words in problem.message
    assert str(problem).startswith(f"x.toml:{line}:{column}: ")


@pytest.mark.parametrize("number", [MAX_DEPTH + 1, 300, 20_000])
@pytest.mark.parametrize("make", [lambda n: "a = " + "[" * n + "]" * n, lambda n: "a" + ".a" * n + " = 1"])
def test_absurd_nesting_is_one_clear_line(number, make):
    problems = refused(make(number))
    assert len(problems) == 1
    assert "nested" in problems[0].message


def test_bytes_that_are_not_text_are_refused_at_their_place():
    with pytest.raises(InputError) as caught:
        decode_text(b"a = 1\nb = '\xc3\xa9\xff'\n", "x.toml")
    assert str(caught.value) == "x.toml:2:7: this byte (0xff) is not UTF-8 text; save the file as UTF-8"
    assert decode_text("é".encode(), "x.toml") == "é"


def try_to_parse(text):
    try:
        return parse_document(text, "x.toml")
    except InputError:
        return None


def assert_read_as_toml(document):
    """What was not refused holds the values that the TOML parser reads."""
    assert document is None or document.data == tomli.loads(document.text)


@settings(max_examples=300)
@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused(text):
    assert_read_as_toml(try_to_parse(text))


@settings(max_examples=300)
@given(st.lists(st.sampled_from([*"ab.=[]{},\n# 1é'\"\\", '"""', "[[", "= ", "true", "\r\n"]), max_size=40))
def test_toml_shaped_text_parses_or_is_refused(parts):
    assert_read_as_toml(try_to_parse("".join(parts)))


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_a_damaged_file_parses_or_is_refused(seed):
    chance = random.Random(seed)
    characters = list(TEXT)
    for _ in range(chance.randint(1, 6)):
        index = chance.randrange(len(characters))
        characters[index : index + chance.randint(0, 3)] = chance.choice(
            ["", '"', "[", "]", "{", "\n", "=", ".", "'''"]
        )
    assert_read_as_toml(try_to_parse("".join(characters)))
