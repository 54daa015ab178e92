"""Ours and a peer on the same work, interleaved in one process. One question a file."""
