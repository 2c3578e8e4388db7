"""Command-line plumbing: flags, gin files, errors in one line."""
