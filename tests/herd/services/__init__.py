"""Herd as a service of the system."""
