"""Protection while the camera runs, and of whole videos: one frame at a time, each with the noise of the one before."""
