import sys

import pytest

from engine.core.errors import InputError
from engine.worker.own_code import accepted_arguments, describe_error, in_project, load_own, project_on_path


@pytest.fixture
def project(tmp_path):
    """A folder of the user's modules; they are forgotten afterwards."""
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_the_users_folder_comes_first_for_the_import_only(project):
    (project / "colorsys.py").write_text("class Net:\n    class Inner: pass\n")
    sys.modules.pop("colorsys", None)
    assert load_own("model", "colorsys:Net.Inner", str(project)).__name__ == "Inner"
    assert str(project) not in sys.path


def test_modules_that_their_module_imports_are_found_beside_it(project):
    (project / "own_layers.py").write_text("WIDTH = 7\n")
    (project / "own_net.py").write_text("from own_layers import WIDTH\n")
    assert load_own("model", "own_net:WIDTH", str(project)) == 7


def test_an_error_in_their_code_is_told_with_their_file_and_line(project):
    (project / "own_broken.py").write_text("import json\n\njson.loads('{')\n")
    with pytest.raises(
        InputError, match=r"model: 'own_broken:Net' cannot be imported: JSONDecodeError.*\(own_broken\.py:3\)"
    ):
        load_own("model", "own_broken:Net", str(project))


def test_a_module_that_leaves_the_process_is_an_error_like_others(project):
    (project / "own_script.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(InputError, match="SystemExit: 3"):
        load_own("model", "own_script:Net", str(project))


@pytest.mark.parametrize(
    "line", ["from engine import train_one_epoch", "import engine.steps", "import engine\nengine.train_one_epoch"]
)
def test_a_repository_with_an_engine_of_its_own_gets_its_own_and_we_keep_ours(project, line):
    own = project / "engine"
    own.mkdir()
    (own / "__init__.py").write_text("def train_one_epoch(): return 'theirs'\n")
    (own / "steps.py").write_text("")
    (project / "own_training.py").write_text(line + "\nimport engine\ndef build(): return engine.train_one_epoch()\n")
    (project / "own_data.py").write_text("import engine\n")
    sys.modules.pop("own_training", None)
    sys.modules.pop("own_data", None)
    ours = sys.modules["engine"], sys.modules["engine.core"]
    build = load_own("model", "own_training:build", str(project))
    assert build() == "theirs"
    assert (sys.modules["engine"], sys.modules["engine.core"]) == ours
    assert load_own("dataset", "own_data:engine", str(project)) is sys.modules["own_training"].engine


def test_an_engine_of_theirs_that_is_imported_late_is_refused_with_the_way_out(project):
    (project / "engine.py").write_text("def train_one_epoch(): pass\n")
    (project / "own_late.py").write_text("def step():\n    from engine import train_one_epoch\n")
    step = load_own("model", "own_late:step", str(project))
    with in_project(str(project)):
        step()
    with pytest.raises(ImportError) as caught, project_on_path(str(project)):
        step()
    assert "at the top of your module, or run your own program with script" in describe_error(
        caught.value, str(project)
    )


def test_an_import_error_of_another_kind_is_not_mistaken_for_a_clash(project):
    (project / "engine.py").write_text("")
    (project / "own_missing.py").write_text("import no_such_thing\n")
    with pytest.raises(InputError, match="No module named 'no_such_thing'"):
        load_own("model", "own_missing:Net", str(project))


def test_only_named_parameters_are_offered_arguments():
    offered = {"input_shape": (1,), "num_classes": 2}

    class Net:
        def __init__(self, num_classes, **more): ...

    assert accepted_arguments(Net, offered) == {"num_classes": 2}
    assert accepted_arguments(lambda *input_shape: None, offered) == {}
    assert accepted_arguments(lambda input_shape, num_classes=3: None, offered) == offered
    assert accepted_arguments(dict, offered) == {}


def test_an_error_without_words_is_told_by_its_type():
    assert describe_error(KeyError()) == "KeyError"
    assert describe_error(ValueError("first line\nsecond")) == "ValueError: first line"


def test_the_path_is_restored_after_an_error(project):
    before = list(sys.path)
    seen = []

    def fail():
        seen.append(sys.path[0])
        raise RuntimeError

    with pytest.raises(RuntimeError), project_on_path(str(project)):
        fail()
    assert seen == [str(project)]
    assert sys.path == before
