"""What judges say of a saved photo, and how much it differs from its original."""
