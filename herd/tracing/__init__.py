"""The log as OpenTelemetry traces."""
