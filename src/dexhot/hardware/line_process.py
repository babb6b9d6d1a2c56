"""A simulated device in its own process, controlled line by line through pipes."""

import subprocess
import threading

from dexhot.errors import DexhotError


class LineProcess:
    """A running `command` that prints one line at the start and one in reply to each line. `what`: its name in
    errors."""

    def __init__(self, command: list[str], what: str):
        self.what, self._lock = what, threading.Lock()
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> str:
        """Send a line; returns the reply. Raises DexhotError if the process has ended."""
        with self._lock:
            assert self.popen.stdin is not None
            self.popen.stdin.write(line + "\n")
            self.popen.stdin.flush()
            return self.read()

    def order(self, line: str) -> None:
        """Send a line that must be answered with "ok". Raises DexhotError for any other reply."""
        if (answer := self.ask(line)) != "ok":
            raise DexhotError(answer)

    def read(self) -> str:
        """Its next line. Raises DexhotError if it has ended."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().strip()
        if not line:
            raise DexhotError(f"the simulated {self.what} ended with code {self.popen.wait()}.")
        return line

    def end(self) -> None:
        """Close its standard input, which ends the process, and wait."""
        self.popen.communicate()
