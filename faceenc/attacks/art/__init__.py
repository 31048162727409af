"""ART's attacks behind our boundary: the only user of art, which each adapter imports when it is called."""
