"""What a person gives and sees: flags, gin files, progress, learning curves."""
