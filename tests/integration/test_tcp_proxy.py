"""The TCP proxy that the chaos tests use for outages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


def test_a_cut_wire_refuses_connections_until_it_is_restored(sandbox: Sandbox) -> None:
    wire = TcpProxy(sandbox.root)
    with requests.Session() as session:
        assert session.get(wire.url, timeout=30).ok
        wire.cut()
        for _ in range(2):
            with pytest.raises(requests.ConnectionError):
                session.get(wire.url, timeout=30)
        wire.restore()
        assert session.get(wire.url, timeout=30).ok
    wire.cut()
