"""What one process writes down about itself, and what another concludes from it."""

import threading
from pathlib import Path

from inference_server.supervisor.board import Board, suspects_of_former_run
from inference_server.supervisor.place import open_board
from inference_server.supervisor.quarantine import Quarantine


def test_what_runs_is_seen_by_who_has_the_board() -> None:
    place = Board(None, 2).places[1]
    mark = place.running("flowers", 10)
    assert place.suspects() == []
    with mark:
        assert place.suspects() == ["flowers/10"]
    assert place.suspects() == []


def test_a_thread_that_ends_its_run_leaves_the_mark_of_another() -> None:
    place = Board(None, 1).places[0]
    mark = place.running("flowers", 10)
    thread = threading.Thread(target=lambda: (mark.begin(), mark.end()))
    with mark:
        thread.start()
        thread.join()
        assert place.suspects() == ["flowers/10"]


def test_an_unloaded_version_gives_its_marks_back() -> None:
    place = Board(None, 1).places[0]
    for _ in range(2000):
        mark = place.running("flowers", 10)
        with mark:
            assert place.suspects() == ["flowers/10"]
        mark.release()


def test_a_board_that_is_still_in_use_is_replaced_and_not_cut_off(tmp_path: Path) -> None:
    former = Board(tmp_path / "board", 1).places[0]
    place = Board(tmp_path / "board", 1).places[0]
    with former.running("flowers", 10):
        assert place.suspects() == []
        assert former.suspects() == ["flowers/10"]


def test_too_many_models_leave_no_mark_and_do_no_harm() -> None:
    place = Board(None, 1).places[0]
    marks = [place.running("flowers", version) for version in range(600)]
    for mark in marks:
        mark.begin()
    assert 500 <= len(place.suspects()) < 600


def test_a_board_on_disk_outlives_its_process(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", 2)
    board.places[1].running("flowers", 10).begin()
    del board
    assert suspects_of_former_run(tmp_path / "board") == ["flowers/10"]


def test_nobody_is_blamed_for_the_end_of_a_process_that_was_to_stop(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", 1)
    board.places[0].running("flowers", 10).begin()
    board.places[0].drain()
    assert suspects_of_former_run(tmp_path / "board") == []


def test_a_new_worker_starts_with_a_clean_place_but_the_server_stays_settled() -> None:
    board = Board(None, 2)
    for place in board.places:
        assert not board.settled
        place.settle()
    assert board.settled
    board.places[0].running("flowers", 10).begin()
    board.places[0].clear()
    assert board.places[0].suspects() == []
    assert not board.places[0].settled
    assert board.settled


def test_a_fault_of_the_only_model_that_ran_is_proof(tmp_path: Path) -> None:
    assert Quarantine(tmp_path).blame(["flowers/10"], "SIGSEGV", True) == ["flowers/10"]


def test_a_fault_while_two_ran_needs_a_second_one(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    assert quarantine.blame(["digits/1", "flowers/10"], "SIGSEGV", True) == []
    assert quarantine.blame(["flowers/10", "trees/2"], "SIGSEGV", True) == ["flowers/10"]
    assert quarantine.file.read_text() == "flowers/10 SIGSEGV\n"


def test_a_kill_needs_a_second_one_and_a_verdict_is_given_once(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    assert quarantine.blame(["flowers/10"], "SIGKILL", False) == []
    assert quarantine.blame(["flowers/10"], "SIGKILL", False) == ["flowers/10"]
    assert quarantine.blame(["flowers/10"], "SIGKILL", False) == []


def test_a_damaged_board_blames_nobody(tmp_path: Path) -> None:
    (tmp_path / "board").write_bytes(b"\xff" * 100)
    board, quarantine = open_board(tmp_path, 1)
    assert not quarantine.file.exists()
    assert not board.settled
