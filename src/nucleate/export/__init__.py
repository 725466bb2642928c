"""Results to files that other programs open: one writer a file.

A writer takes the path of its file first. What is there is replaced when the new file is complete; `OutputError` is
raised if it cannot be written, `MissingExtraError` where a library that it needs is not installed.
"""
