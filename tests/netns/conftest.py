"""Networks are laid only if `make netns` asks for it, never along with other tests."""

import os

collect_ignore_glob = [] if os.environ.get("HERD_NETNS") else ["test_*.py"]
