"""One address for all the Ollama servers on a network: where events and actors meet the world."""
