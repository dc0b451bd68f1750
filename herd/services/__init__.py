"""herd as a service of the system: systemd, launchd, or Windows' task scheduler."""
