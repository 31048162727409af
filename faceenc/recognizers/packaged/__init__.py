"""Face nets that registry packages carry, as torch modules."""
