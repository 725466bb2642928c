"""The tests mirror src/nucleate, one file a module."""
