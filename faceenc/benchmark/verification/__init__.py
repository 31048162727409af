"""Verification: pairs of strangers' photos, thresholds from other people, what judges say before and after noise.

What a benchmark of embedders and a measurement of transfer have in common, and the first of the two.
"""
