"""Notices that a file or a folder's files changed, by a few calls of stat."""

from pathlib import Path

Fingerprint = tuple[tuple[str, int, int, int], ...]


def fingerprint(path: Path) -> Fingerprint:
    """Name, inode, time and size of each file; links are followed, so a swapped Secret shows."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        marks = []
        for file in files:
            stat = file.stat()
            marks.append((file.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(marks)
    except OSError:
        return ()  # away, or being swapped: whatever comes next differs
