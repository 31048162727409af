"""dlib's face net: its file, its twin in torch, and dlib's own pipeline where dlib is installed."""
