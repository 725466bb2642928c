"""Plates: which file is which well, the tables of a screen and its statistics."""
