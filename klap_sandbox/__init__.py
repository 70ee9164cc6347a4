"""A local Klap: the API of https://klap.app on the loopback interface, with real clips and faults on request.

Start it with ``python -m klap_sandbox``. It is for demonstrations and for tests: it needs no account, keeps a
ledger of every request that Klap would bill, and misbehaves when told to (see :mod:`klap_sandbox.faults`).
"""
