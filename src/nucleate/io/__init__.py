"""Files to images: one small reader a format behind one registry."""
