"""`kubectl logs` gets the lines that it asks for."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_runner.container_logs import blocks, tail_begin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "0.log"


async def read(file: Path, begin: int = 0, limit: int | None = None) -> bytes:
    return b"".join([block async for block in blocks(file, begin, limit, lambda: True)])


@given(
    lines=st.lists(st.text("ab ", max_size=3), max_size=6),
    wanted=st.integers(0, 8),
    last_is_whole=st.booleans(),
)
def test_the_tail_of_a_log_is_its_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], wanted: int, last_is_whole: bool
) -> None:
    file = tmp_path_factory.mktemp("logs") / "0.log"
    whole = (
        [f"{line}\n" for line in lines] if last_is_whole else [f"{line}\n" for line in lines[1:]]
    )
    rest = [] if last_is_whole or not lines else ["unfinished"]
    file.write_text("".join([*whole, *rest]))
    expected = "".join([*whole, *rest][-wanted:] if wanted else [])
    assert file.read_bytes()[tail_begin(file, wanted) :].decode() == expected
    assert tail_begin(file, None) == 0


def test_no_more_bytes_are_sent_than_were_asked_for(file: Path) -> None:
    file.write_bytes(b"0123456789")
    assert asyncio.run(read(file, 2, 5)) == b"23456"
    assert asyncio.run(read(file, 2)) == b"23456789"


def test_a_log_is_followed_until_its_container_has_ended(file: Path) -> None:
    file.write_bytes(b"first\n")
    written, over = [b"second\n", b"third\n"], False

    def ended() -> bool:
        nonlocal over
        if written:
            with file.open("ab") as log:
                log.write(written.pop(0))
        else:
            over = True
        return over

    async def follow() -> bytes:
        return b"".join([block async for block in blocks(file, 0, None, ended)])

    assert asyncio.run(follow()) == b"first\nsecond\nthird\n"
    assert over
