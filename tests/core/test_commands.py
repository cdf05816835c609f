import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.commands import Stop, command_id, parse_command
from engine.core.errors import InputError

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["all", "stop", "enqueue"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.none()
    | st.fixed_dictionaries(
        {"op": ANYTHING},
        optional=dict.fromkeys(("runs", "grace_s", "experiment", "plan", "rerun", "more"), ANYTHING),
    )
)
def test_whatever_a_command_holds_the_answer_is_a_command_or_one_line(value):
    message = "one line"
    try:
        parse_command(value)
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


def test_a_stop_names_runs_or_all():
    assert parse_command({"op": "stop", "runs": [["e", "a"]], "grace_s": 0}) == Stop(
        op="stop", runs=[("e", "a")], grace_s=0
    )
    assert parse_command({"op": "stop", "runs": "all"}).runs == "all"


@pytest.mark.parametrize("name", ["", ".ddptui", "../x", "a/b", "..", "a\0b"])
def test_an_experiment_stays_inside_the_results_folder(name):
    with pytest.raises(InputError, match="experiment"):
        parse_command({"op": "enqueue", "experiment": name, "plan": {}, "runs": []})


def test_the_order_of_ids_is_the_order_in_time():
    ids = [command_id(time_ns, 99999 - time_ns, "ff") for time_ns in (9, 10, 1000)]
    assert ids == sorted(ids)
