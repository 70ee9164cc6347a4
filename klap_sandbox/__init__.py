"""A local server with Klap's API: real clips, a ledger of paid requests, faults on request.

Start it with ``klap-sandbox`` or ``python -m klap_sandbox``. Demos and tests use it; it needs no account.
"""

__version__ = "0.1.0"
