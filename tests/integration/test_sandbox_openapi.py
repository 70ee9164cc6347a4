"""Schemathesis checks that the sandbox behaves as its own OpenAPI document describes."""
