from __future__ import annotations

from pathlib import Path

import pytest

from engine.codedigest import make_code_digest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose ``net.models`` imports two neighbours in two ways."""
    package = tmp_path / "net"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text("import torch\nfrom . import blocks\nfrom shared import width\n")
    (package / "blocks.py").write_text("raise RuntimeError('imported')\n")
    (package / "unused.py").write_text("x = 1\n")
    (tmp_path / "shared.py").write_text("width = 3\n")
    return tmp_path


def _digest(project: Path, *targets: str) -> str:
    return make_code_digest(str(project))(targets or ("net.models:build",))


@pytest.mark.parametrize("name", ["net/models.py", "net/blocks.py", "net/__init__.py", "shared.py"])
def test_a_change_in_anything_that_the_module_reaches_changes_the_digest(name: str, project: Path) -> None:
    before = _digest(project)
    (project / name).write_text((project / name).read_text() + "# changed\n")
    assert _digest(project) != before


def test_a_change_elsewhere_does_not(project: Path) -> None:
    before = _digest(project)
    (project / "net" / "unused.py").write_text("x = 2\n")
    (project / "other.py").write_text("")
    assert _digest(project) == before


def test_the_place_of_the_project_is_no_part_of_it(project: Path) -> None:
    before = _digest(project)
    moved = project.rename(project.with_name("moved"))
    assert _digest(moved) == before


def test_moving_code_from_one_file_to_another_changes_it(project: Path) -> None:
    before = _digest(project)
    (project / "net" / "blocks.py").rename(project / "net" / "blocks_2.py")
    (project / "net" / "models.py").write_text("from . import blocks_2\nfrom shared import width\n")
    assert _digest(project) != before


def test_the_order_of_names_does_not_matter(project: Path) -> None:
    assert _digest(project, "net.models:a", "shared:b") == _digest(project, "shared:b", "net.models:a")


def test_circular_imports_end(project: Path) -> None:
    (project / "shared.py").write_text("import net.models\n")
    assert _digest(project)


def test_code_that_is_not_under_the_project_has_no_digest(project: Path) -> None:
    assert _digest(project, "torch.nn:Linear") == ""
    assert _digest(project, "../escape:x") == ""


@pytest.mark.parametrize("content", [b"def broken(:\n", b"\xff\xfe", b"\0", b"(" * 5000])
def test_broken_source_still_has_a_digest(content: bytes, project: Path) -> None:
    (project / "shared.py").write_bytes(content)
    assert _digest(project)


def test_a_namespace_package_and_a_package_named_itself_are_found(project: Path) -> None:
    (project / "space").mkdir()
    (project / "space" / "loss.py").write_text("")
    assert _digest(project, "space.loss:f")
    assert _digest(project, "net:f")
