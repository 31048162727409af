"""The commands `faceenc` and `faceenc-bench`: parse, call, print. The only place that prints."""
