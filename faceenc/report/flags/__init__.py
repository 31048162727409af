"""Flags: signs, in the results themselves, that an evaluation flatters the recogniser or is broken."""
