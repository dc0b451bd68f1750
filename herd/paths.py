"""Where everything lives: one data directory, private to its owner.

Files of ollama-herd found in the same directory are left alone: its log keeps its name, and ours
takes another.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from herd.errors import NOT_OURS, HerdError
from herd.platform import is_private

DEFAULT_ROOT = "~/.fleet-manager"

LONGEST_SOCKET_PATH_BYTES = 100
"""Linux allows 108 bytes in a Unix socket's address, macOS 104."""


class DataDir:
    """The paths below one data directory. Making one touches no disk; `create()` does."""

    def __init__(self, root: Path) -> None:
        """Name the directory; `~` and relative paths are resolved once, here."""
        self.root = Path(os.path.abspath(root.expanduser()))  # noqa: PTH100 (symlinks stay as typed)

    # What happened: the journal and what is made from it.

    @property
    def journal(self) -> Path:
        """The live journal: `<first seq>.ndjson` segments."""
        return self.root / "log" / "journal"

    @property
    def sealed(self) -> Path:
        """Segments as Parquet."""
        return self.root / "log" / "sealed"

    @property
    def totals(self) -> Path:
        """What the requests of dropped segments came to, day by day, as Parquet."""
        return self.root / "log" / "totals"

    @property
    def snapshots(self) -> Path:
        """Folded states between segment heads, so that a restart is quick."""
        return self.root / "log" / "snapshots"

    @property
    def database(self) -> Path:
        """The DuckDB file, owned by logd while herd runs."""
        return self.root / "log" / "events.duckdb"

    @property
    def open_sql(self) -> Path:
        """SQL that gives any DuckDB the views over the log, also while herd is down."""
        return self.root / "log" / "open.sql"

    # What herd says about itself.

    @property
    def jsonl(self) -> Path:
        """The log file for people and log shippers."""
        ours, common = self.root / "logs" / "herd-balancer.jsonl", self.root / "logs" / "herd.jsonl"
        if ours.exists() or (common.exists() and not self.journal.exists()):
            return ours
        return common

    @property
    def beside_ollama_herd(self) -> bool:
        """Whether `logs/herd.jsonl` belongs to ollama-herd, so that ours has another name."""
        return self.jsonl.name != "herd.jsonl"

    # What exists while it runs.

    @property
    def run(self) -> Path:
        """The directory of the files that mean something only while herd runs."""
        return self.root / "run"

    @property
    def run_file(self) -> Path:
        """Pids, port, host, version of the running herd, as JSON."""
        return self.run / "herd.json"

    @property
    def lock(self) -> Path:
        """Locked by the running herd."""
        return self.run / "lock"

    @property
    def spent_links(self) -> Path:
        """The links to the dashboard that were used, a file each, for as long as one holds."""
        return self.run / "links"

    @property
    def sockets(self) -> Path:
        """`run`, or a short directory below the temporary one if that path is too long."""
        longest = os.fsencode(self.run / "control.sock")
        if len(longest) <= LONGEST_SOCKET_PATH_BYTES:
            return self.run
        digest = hashlib.blake2b(os.fsencode(self.root), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"herd-{digest}"

    @property
    def control_socket(self) -> Path:
        """Where the fronts reach control."""
        return self.sockets / "control.sock"

    @property
    def door(self) -> Path:
        """Where the supervisor hears who would take its place, and commands."""
        return self.sockets / "herd.sock"

    @property
    def logd_socket(self) -> Path:
        """Where the fronts reach logd."""
        return self.sockets / "logd.sock"

    @property
    def settings_file(self) -> Path:
        """Variables of the balancer, which `herd reload` reads again."""
        return self.root / "herd-balancer.env"

    # Secrets.

    @property
    def admin_token(self) -> Path:
        """The token that opens the admin routes from other machines."""
        return self.root / "admin.token"

    @property
    def join_token(self) -> Path:
        """The token that brings nodes into a fleet which takes none without it."""
        return self.root / "join.token"

    @property
    def node_key(self) -> Path:
        """The private key of this machine's agent."""
        return self.root / "node.key"

    def check_readable(self) -> None:
        """Raise `HerdError` if it is there, and we may not look into it."""
        try:
            next(self.run.iterdir(), None)
        except PermissionError as error:
            raise HerdError(f"{self.root} cannot be read: {error.strerror}", NOT_OURS) from error
        except OSError:  # nothing is there
            return

    def create(self) -> None:
        """Make the directories that are missing, readable by their owner only."""
        beside = self.beside_ollama_herd
        jsonl = self.jsonl
        try:
            for folder in (
                self.root,
                self.journal.parent,
                self.journal,
                self.sealed,
                self.totals,
                self.snapshots,
                self.jsonl.parent,
                self.run,
            ):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if beside:
                jsonl.touch(mode=0o600)
            if self.sockets != self.run:
                _create_private(self.sockets)
            _check_writable(self.run)
        except OSError as error:
            raise HerdError(
                f"the data directory {self.root} cannot be used: {error.strerror or error}",
                "choose another one with --data-dir or FLEET_DATA_DIR",
            ) from error


def _create_private(folder: Path) -> None:
    """Make a folder in a place open to everybody; someone else's is never used."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not is_private(folder):
        raise HerdError(
            f"{folder} belongs to somebody else",
            "choose a data directory with a shorter path: --data-dir or FLEET_DATA_DIR",
        )


def _check_writable(folder: Path) -> None:
    probe = folder / f".probe-{os.getpid()}"
    probe.touch()
    probe.unlink()


def default_data_dir(environment: dict[str, str] | None = None) -> DataDir:
    """Return the data directory that `FLEET_DATA_DIR` names, else `~/.fleet-manager`."""
    found = os.environ if environment is None else environment
    return DataDir(Path(found.get("FLEET_DATA_DIR") or DEFAULT_ROOT))
