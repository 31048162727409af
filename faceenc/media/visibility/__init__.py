"""How much people see of a photo's change."""
