"""Bytes: to and from the team's storage."""
