"""The agent beside an Ollama: finds the balancer and tells it what this machine can do."""
