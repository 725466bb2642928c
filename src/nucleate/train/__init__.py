"""Training: targets, augmentation, losses, the loop, checkpoints and search."""
