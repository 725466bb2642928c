"""Reads files as images: each format has one small reader, and one registry lists them all."""
