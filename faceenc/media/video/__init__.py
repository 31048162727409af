"""Frames out of files, cameras and streams, and into files, windows and virtual cameras."""
