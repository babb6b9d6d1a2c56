"""A simulated device in a process of its own, asked line by line through its pipes."""

import subprocess
import threading

from dexhot.errors import DexhotError


class LineProcess:
    """`command` running; it answers each line with a line, its first comes unasked. `what`: its name in errors."""

    def __init__(self, command: list[str], what: str):
        self.what, self._lock = what, threading.Lock()
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> str:
        """Its answer. Raises DexhotError when it has ended."""
        with self._lock:
            assert self.popen.stdin is not None
            self.popen.stdin.write(line + "\n")
            self.popen.stdin.flush()
            return self.read()

    def order(self, line: str) -> None:
        """Ask for what it answers with "ok". Raises DexhotError with any other answer."""
        if (answer := self.ask(line)) != "ok":
            raise DexhotError(answer)

    def read(self) -> str:
        """Its next line. Raises DexhotError when it has ended."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline().strip()
        if not line:
            raise DexhotError(f"the simulated {self.what} ended with code {self.popen.wait()}.")
        return line

    def end(self) -> None:
        """Close its standard input, which ends it, and wait."""
        self.popen.communicate()
