"""Writers of results to files that other programs open, one writer for each kind of file.

A writer takes the path of its file first. An existing file is replaced when the new one is complete; `OutputError` is
raised if it cannot be written, `MissingExtraError` if a library that it needs is not installed.
"""
