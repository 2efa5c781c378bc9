"""The token that an operator gives: it is the one that clients need, and a poor one is refused."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from controller.agent.mcp.address import read_address
from controller.errors import AgentError
from controller.run.mcp_agent import require_long_token
from controller.settings import read_secrets
from tests.support.mcp import mcp_agent
from tests.support.waiting import PATIENCE_S

TOKEN = "7f3a9c51d2e84b06"


def test_token_in_a_mounted_file_is_read_without_its_line_end_and_hidden_from_sandboxes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    secrets = read_secrets({"AUTORESEARCH_MCP_TOKEN_FILE": str(file)})

    assert require_long_token(secrets.client_token) == TOKEN
    assert secrets.key_files == (file,)
    assert require_long_token(read_secrets({}).client_token) == ""


def test_file_without_a_token_is_refused_and_no_other_token_takes_its_place(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match=r"mcp\.existingSecret"):
        require_long_token(read_secrets({"AUTORESEARCH_MCP_TOKEN_FILE": str(tmp_path / "none")}).client_token)


def test_clients_need_the_token_that_the_operator_gave_at_every_start(tmp_path: Path) -> None:
    for _ in range(2):
        with mcp_agent(tmp_path, token=TOKEN) as agent:
            agent.check()
            address = read_address(tmp_path)
            assert address
            answers = [
                httpx2.post(address.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S, json={})
                for token in (TOKEN, TOKEN[:-1])
            ]
            assert address.token == TOKEN
            assert answers[0].status_code != 401
            assert answers[1].status_code == 401


@pytest.mark.parametrize("token", ["short", "with a blank in it, and long", "ünfit-for-a-header-123"])
def test_token_that_can_be_guessed_or_sent_by_nobody_is_refused_in_a_sentence(token: str) -> None:
    with pytest.raises(AgentError, match="16 characters or more, without blanks"):
        require_long_token(SecretStr(token))
