"""Results to files that other programs open: one writer a file."""
