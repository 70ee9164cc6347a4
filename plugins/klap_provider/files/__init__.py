"""Read, write and download files."""
