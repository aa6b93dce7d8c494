"""What made the files that ship, and is not shipped itself."""
