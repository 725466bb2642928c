"""From the maps of a network to a label image."""
