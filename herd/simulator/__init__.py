"""Simulated Ollama nodes: for the demo, the tests, the benchmarks and what-if. They say so."""
