"""Nothing leaves the machine, and nothing is left on it beside the index: not while building, not while asking."""

import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import Workplace

WATCHED = """
import json, socket, sys

seen = []


def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        connection, address = arguments
        seen.append([event, int(connection.family), str(address)])
    elif event.startswith(("socket.getaddrinfo", "socket.gethostby", "urllib.Request", "http.client.connect")):
        seen.append([event, -1, str(arguments)])
    elif event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty"):
        seen.append([event, -1, str(arguments)])


sys.addaudithook(watch)
try:  # the hook sees what there is to see
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError:
    pass
probe, seen[:] = list(seen), []

import rag

report = rag.build_index(sys.argv[1], sys.argv[2])
answer = rag.answer("When was the lighthouse at Skerry Point lit?", index=sys.argv[2], threshold=0)
print(json.dumps({"probe": probe, "seen": seen, "documents": report.documents, "source": answer.quotes[0].source}))
"""


def test_building_and_asking_open_no_connection(workplace: Workplace, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    output = subprocess.check_output(
        [sys.executable, "-c", WATCHED, workplace.sources, workplace.index],
        env={**os.environ, "HOME": str(home), "USERPROFILE": str(home)},
        text=True,
        timeout=120,
    )
    found = json.loads(output.splitlines()[-1])
    assert (found["documents"], found["source"]) == (3, "lighthouse.txt")
    assert "socket.connect" in {event for event, *_ in found["probe"]}
    assert found["seen"] == []
    assert list(home.iterdir()) == []
