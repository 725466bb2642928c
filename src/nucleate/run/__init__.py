"""Prediction: engines, shipped weights, the segmenter and batches of files. Never imports torch."""
