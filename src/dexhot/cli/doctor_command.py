"""Check this machine: what works, what is missing, and how to install it."""

from dataclasses import asdict, dataclass

from dexhot.cli.output import console, print_json, results, styled

STYLES = {"ok": "green", "missing": "red", "optional": "yellow"}


@dataclass
class Args:
    """Check this machine."""

    json: bool = False
    """Print one JSON object on the last line of stdout."""
    free_shared_memory: bool = False
    """First remove what killed ROS processes left in /dev/shm; that of running ones stays."""


def run(args: Args) -> int:
    """Print one line per check. Exit code 1 when something that every user needs is missing."""
    from dexhot.bringup.shared_memory import free
    from dexhot.cli.doctor import examine

    if args.free_shared_memory:
        console.print(f"{free() / 2**20:.0f} MiB of shared memory freed")
    checks, to = examine(), results(args.json)
    for check in checks:
        remedy = f"\n           -> {check.remedy}" if check.remedy else ""
        line = styled(f"{check.status:8}", STYLES[check.status], f" {check.name}: {check.found}{remedy}")
        to.print(line, soft_wrap=True)
    healthy = all(check.status != "missing" for check in checks)
    if args.json:
        print_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    return 0 if healthy else 1
