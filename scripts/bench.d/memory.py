"""Measures the private memory of a backend while it works."""

import re
import threading
from pathlib import Path


def anonymous_kilobytes(pid):
    return int(re.search(r"RssAnon:\s*(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


class PeakMemory:
    """Samples a backend's RssAnon, which excludes shared buffers. `megabytes` is its growth from start to peak."""

    def __init__(self, pid):
        self.pid = pid
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.sample, daemon=True)

    def __enter__(self):
        self.before = self.peak = anonymous_kilobytes(self.pid)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def sample(self):
        while not self.stop.wait(0.01):
            self.peak = max(self.peak, anonymous_kilobytes(self.pid))

    @property
    def megabytes(self):
        return (self.peak - self.before) / 1024
