"""What the dashboard shows: its page and files, and what it says about one request."""
