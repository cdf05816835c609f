import sys
import textwrap

import numpy as np
import pytest
import torch
from data_specs import make_spec

from engine.core.errors import InputError
from engine.worker.datasets.bundle import load_bundle


@pytest.fixture
def load_own(tmp_path, request):
    """Write the user's module (a name of its own for each test) and load what it calls ``load``."""
    names = []

    def load(source, **config):
        name = f"own_{abs(hash(request.node.nodeid))}_{len(names)}"
        names.append(name)
        (tmp_path / f"{name}.py").write_text("import numpy as np, torch\n" + textwrap.dedent(source))
        return load_bundle(make_spec(tmp_path, dataset=f"{name}:load", **config))

    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_tensors_and_arrays_are_used_as_they_are(load_own):
    bundle = load_own(
        """
        def load(size):
            inputs = torch.arange(size * 12, dtype=torch.uint8).view(size, 3, 2, 2)
            return (inputs, torch.arange(size) % 4), (inputs.numpy()[:5], np.arange(5, dtype=np.int32) % 4)
        """,
        dataset_args={"size": 20},
    )
    assert (len(bundle.train), len(bundle.test), bundle.num_classes, bundle.input_shape) == (20, 5, 4, (3, 2, 2))
    assert bundle.test.targets.dtype == torch.int64
    assert len(bundle.mean) == len(bundle.std) == 3


def test_grey_images_get_their_channel_and_doubles_become_floats(load_own):
    grey = load_own("def load(): return ((np.ones((6, 4, 4), np.uint8), np.arange(6)),) * 2")
    assert grey.input_shape == (1, 4, 4)
    floats = load_own("def load(): return ((np.ones((6, 7, 2)), np.arange(6)),) * 2")
    assert (floats.train.inputs.dtype, floats.input_shape, floats.is_image) == (torch.float32, (7, 2), False)
    assert floats.mean == ()


def test_a_map_style_dataset_is_fetched_once_and_then_cached(load_own, tmp_path):
    source = f"""
        class Squares:
            def __init__(self, size): self.size = size
            def __len__(self): return self.size
            def __getitem__(self, position):
                with open({str(tmp_path / "calls")!r}, "a") as calls: calls.write("x")
                return torch.full((1, 3, 3), float(position)), position % 3
        def load(): return Squares(500), Squares(30)
    """
    bundle = load_own(source)
    assert torch.equal(bundle.train.inputs[:, 0, 0, 0], torch.arange(500.0))
    assert torch.equal(bundle.train.targets, torch.arange(500) % 3)
    num_calls = len((tmp_path / "calls").read_text())
    spec = make_spec(tmp_path, dataset=next(n for n in sys.modules if n.startswith("own_")) + ":load")
    again = load_bundle(spec)
    assert torch.equal(again.train.inputs, bundle.train.inputs)
    assert len((tmp_path / "calls").read_text()) - num_calls < 500


def test_the_data_root_is_handed_over_where_it_is_asked_for(load_own):
    source = """
        def load(data_root):
            assert data_root == "/data"
            return ((np.ones((4, 2), np.float32), np.arange(4)),) * 2
    """
    assert load_own(source, data_root="/data").input_shape == (2,)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def load(): return 5", r"must return \(train, test\), not int"),
        ("def load(): return ([1], [2])", "both be"),
        ("def load(): return ((np.ones((4, 2)), np.arange(3)),) * 2", r"targets must be class numbers \[4\]"),
        ("def load(): return ((np.ones((4, 2)), np.ones(4)),) * 2", r"targets must be class numbers \[4\]"),
        ("def load(): return ((np.ones((4, 2)), np.arange(4) - 1),) * 2", "class numbers from 0, not -1"),
        ("def load(): return ((np.ones((4, 2), np.int64), np.arange(4)),) * 2", r"not int64 \[4, 2\]"),
        (
            "def load(): return (np.ones((4, 2)), np.arange(4)), (np.ones((4, 3)), np.arange(4))",
            r"training inputs are float32 \[4, 2\], test inputs float32 \[4, 3\]",
        ),
        ("def load():\n    return open('/no/such/file')", r"FileNotFoundError.*\(own_\d+_0\.py:3\)"),
        ("def load(x): return x", "missing 1 required"),
        ("import no_such_module_of_theirs", "No module named 'no_such_module_of_theirs'"),
        ("def load(:", r"SyntaxError.*own_\d+_0\.py, line 2"),
        ("def other(): pass", "has no attribute 'load'"),
        ("load = 3", "is int, not something to call"),
    ],
)
def test_the_fault_is_named_with_the_users_file_and_line(load_own, source, message):
    with pytest.raises(InputError, match=message) as caught:
        load_own(source)
    assert "\n" not in str(caught.value)


def test_random_samples_are_refused_since_they_would_be_frozen(load_own):
    source = """
        class Noise:
            def __len__(self): return 10
            def __getitem__(self, position): return torch.rand(1, 3, 3), 0
        def load(): return Noise(), Noise()
    """
    with pytest.raises(InputError, match=r"differs from call to call.*augment"):
        load_own(source)


def test_an_array_that_cannot_be_written_is_taken_without_a_warning(load_own):
    source = """
        def load():
            inputs = np.ones((4, 2), np.float32)
            inputs.setflags(write=False)
            return ((inputs, np.arange(4)),) * 2
    """
    assert np.array_equal(load_own(source).train.inputs.numpy(), np.ones((4, 2)))
