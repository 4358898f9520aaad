"""Files with digests, settings and units, on this machine or S3. What is in a table is not known here."""
