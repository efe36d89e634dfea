"""Order the test files, select the quick ones, and skip what needs a missing program."""

import os
from pathlib import Path

import pytest

from stream_lab.notebooks.row import number_of
from stream_lab.processes.programs import missing
from tests.real_time import needs_real_time

# Files are handed to the workers in this order, so that none is left alone with a long one at the
# end. A long file that is not named here costs time and nothing else; `--durations=30` finds it.
FIRST = """
notebooks/source/16_repair_a_relay.py
tests/stream_lab/course/test_notebook_16.py
tests/stream_lab/regress/test_cli.py
tests/test_howto.py
tests/drills/test_drills.py
tests/stream_lab/notebooks/test_investigation.py
tests/stream_lab/doctor/test_stacks.py
tests/stream_deadline/test_bounded_client.py
tests/stream_lab/experiment/test_attempts_run.py
tests/stream_lab/relay/test_new_relay.py
tests/stream_lab/relay/test_scaled.py
tests/stream_deadline/test_matrix.py
tests/stream_lab/regress/test_resume.py
tests/stream_lab/regress/test_planted.py
tests/stream_deadline/test_matrix_pooled.py
tests/stream_deadline/test_left_behind.py
tests/stream_lab/relay/test_relay.py
tests/stream_deadline/test_chat_vllm_bounds.py
tests/stream_lab/matrix/test_matrix.py
tests/stream_deadline/test_raw_chunks.py
tests/stream_lab/relay/test_new_relay_page.py
tests/stream_lab/processes/backends/test_release_table.py
tests/stream_deadline/test_instrumented.py
tests/stream_lab/regress/test_dask.py
tests/stream_lab/relay/test_relay_bad_input.py
tests/stream_deadline/test_recipes.py
tests/test_house.py
tests/stream_lab/regress/test_ci_recipes.py
tests/stream_lab/processes/test_processes.py
tests/fake_vllm/test_cli.py
tests/stream_deadline/test_matrix_tls.py
tests/stream_deadline/test_reasoning.py
tests/stream_deadline/test_asgi_cors.py
tests/stream_deadline/test_matrix_uvloop.py
tests/fake_vllm/http/test_connection.py
""".split()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="only the test files that start no process, open no socket and do not wait",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the sources of the notebooks: each is run as a learner gets it."""
    named = parent.session.isinitpath(file_path)  # then pytest takes it for a module
    return None if named else _learner_file(file_path, parent)


def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    return _learner_file(module_path, parent)


def _learner_file(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if path.parent != Path(__file__).parent / "notebooks" / "source" or path.suffix != ".py":
        return None
    from tests.notebooks.learner import LearnerFile

    return LearnerFile.from_parent(parent, path=path)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--quick") or collection_path.is_dir():
        return None
    if "notebooks" in collection_path.relative_to(Path(__file__).parent).parts[:1]:
        return True
    if not collection_path.name.startswith("test_"):
        return None
    return needs_real_time(collection_path) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    place = {root / name: number for number, name in enumerate(FIRST)}
    # Then the notebooks, since each takes up to 20 seconds; the many quick files fill the end.
    notebooks = root / "notebooks"
    items.sort(
        key=lambda item: place.get(
            item.path, len(place) + (not item.path.is_relative_to(notebooks))
        )
    )
    if os.environ.get("REQUIRE_REAL_PARTS") == "1":
        return
    for item in items:
        # Under REQUIRE_REAL_PARTS such a notebook fails; here it is skipped, and says why.
        if item.path.is_relative_to(root / "notebooks") and (
            why := missing(number_of(item.path.stem))
        ):
            item.add_marker(pytest.mark.skip(reason=why))
