"""The file with address and token is for its owner alone, and its token lasts."""

from __future__ import annotations

from pathlib import Path

from controller.agent.mcp.address import NAME, Address, choose_token, read_address, write_address


def write(folder: Path, token: str) -> None:
    write_address(folder, Address(url="http://127.0.0.1:1/mcp", token=token, pid=7))


def test_only_its_owner_can_read_it_and_it_reads_as_written(tmp_path: Path) -> None:
    write(tmp_path, "t")

    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert read_address(tmp_path) == Address(url="http://127.0.0.1:1/mcp", token="t", pid=7)
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_token_stays_the_same_until_the_file_is_deleted_or_was_open_to_others(tmp_path: Path) -> None:
    first = choose_token(tmp_path)
    assert len(first) >= 40
    write(tmp_path, first)
    assert choose_token(tmp_path) == first

    (tmp_path / NAME).chmod(0o640)
    second = choose_token(tmp_path)
    assert second != first
    write(tmp_path, second)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600

    (tmp_path / NAME).unlink()
    assert choose_token(tmp_path) not in (first, second)


def test_damaged_file_is_none(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")

    assert read_address(tmp_path) is None
