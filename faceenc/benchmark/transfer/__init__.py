"""What is special to verification: noise made on some recognisers, judged by others on pairs of strangers."""
