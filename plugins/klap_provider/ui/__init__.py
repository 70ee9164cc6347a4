"""The Shorts tab and the Klap page: static modules for the browser, and their server side."""
