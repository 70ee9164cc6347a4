"""The Shorts tab: static modules for the browser, and their server side."""
