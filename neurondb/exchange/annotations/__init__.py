"""What people said of neurons, from database to database: a file of JSON lines, and its merge."""
