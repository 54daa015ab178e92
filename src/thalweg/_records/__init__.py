"""Records: what a run, a sweep or a sampling keeps, in memory and in its directory."""
