"""Methods and runs side by side: from one start, from their directories, by what precision costs."""
