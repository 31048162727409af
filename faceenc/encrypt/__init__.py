"""Protecting photos as files: one, or a folder of them."""
