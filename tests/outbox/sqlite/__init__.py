"""What is SQLite's own: its file, its locks, its statements."""
