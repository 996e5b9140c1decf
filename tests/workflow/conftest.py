"""Fixtures: copies of the repository in which nothing, or everything, has run."""

from pathlib import Path

import pytest

from workspaces import Workspace, make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A copy of the code, nothing computed."""
    return make_workspace(tmp_path / "work")


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = make_workspace(tmp_path_factory.mktemp("finished") / "work")
    made.snakemake("all")
    return made


@pytest.fixture
def finished(_finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of a workspace in which suite `quick` has run to its end."""
    return _finished.copy(tmp_path / "work")
