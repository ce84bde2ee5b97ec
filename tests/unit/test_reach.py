"""Whether the hub answers is known soon, whatever keeps it from answering."""

import socket
import time

import pytest
from huggingface_hub import constants

from sdaug.diffusion.components import WeightsMissing
from sdaug.models.reach import ask_hub


def test_a_refusing_hub_is_known_at_once(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(WeightsMissing, match="sdaug-test/absent cannot be fetched: the hub .* is not reachable"):
        ask_hub("sdaug-test/absent")


def test_a_silent_hub_is_known_unreachable_within_five_seconds(monkeypatch):
    """A functional deadline, not a speed test: the hub accepts the connection and never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(WeightsMissing, match="not reachable"):
            ask_hub("sdaug-test/absent")
        assert time.monotonic() - started < 5


def test_a_name_server_that_never_answers_is_left_behind(monkeypatch):
    """The same deadline where the connection cannot even be tried: a name look-up has no time limit of its own."""

    def look_up(*_, **__):
        time.sleep(7)
        raise socket.gaierror("no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    started = time.monotonic()
    with pytest.raises(WeightsMissing, match="no answer within 3 s"):
        ask_hub("sdaug-test/absent")
    assert time.monotonic() - started < 5
