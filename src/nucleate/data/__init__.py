"""Annotated images for training and scoring: readers, splits, and drawn images with exact truth."""
