"""What keeps faceenc from being misused or from losing an original: consent, signatures, the audit log, key files."""
