"""Runs that make a published table."""
