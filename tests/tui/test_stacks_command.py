"""``ddptui stacks``: what it says of a run that has no ranks to look at."""

import pytest


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_run_that_has_ended_has_no_stacks(ddptui, make_run, capsys, as_json):
    make_run("ddp-w2-r0-3fa9c1")
    assert ddptui("stacks", "ddp", *as_json) == 2
    err = capsys.readouterr().err
    assert "ddp-w2-r0-3fa9c1 is succeeded: only a run that is going on has stacks" in err
