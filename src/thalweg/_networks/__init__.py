"""Networks as motions: blocks as fields in depth."""
