"""The nouns of the house: images, label images, run-length code, outlines, tiles. numpy and scipy only."""
