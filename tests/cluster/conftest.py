"""One throwaway Slurm for all tests of this folder, and small workspaces to submit from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.slurm import throwaway_cluster, why_not
from workspaces import Workspace, make_workspace


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if reason := why_not():
        pytest.skip(reason)
    with throwaway_cluster(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture
def submitting(_cluster: None, tmp_path: Path) -> Workspace:
    """A copy of the code, nothing computed, on a cluster that runs."""
    return make_workspace(tmp_path / "work")
