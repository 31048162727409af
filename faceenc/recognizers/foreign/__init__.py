"""Recognisers of others: ONNX files, programs of torch, factories, timm's nets, functions. `load_recognizer` is the door."""
