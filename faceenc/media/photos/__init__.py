"""Photos as people have them, in and out: pixels, transparency, colour profile, and no metadata unless it is asked for."""
