"""Access to image files: from a reference in a record to bytes, and to nothing outside the images
root.

(root, reference, limits) → SHA-256 | bytes | PictureProblem. Local roots are walked directory by
directory with descriptors that follow no symbolic link, so a path that changes after it was checked
cannot lead out either.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from schemas.reasons import Effect, check_registered
from transforms.images.references import shown
from transforms.runtime import storage
from transforms.runtime.options import check_ranges, option

MAX_REFERENCE_CHARS = 4096
# Pillow refuses larger pictures whatever this program allows: twice PIL.Image.MAX_IMAGE_PIXELS.
MAX_DECODABLE_PIXELS = 178_956_970

_CHUNK_BYTES = 1 << 20
_DRIVE = re.compile(r"[A-Za-z]:")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_SEPARATORS = re.compile(r"[/\\]")
# O_PATH needs only search permission on a directory, as opening by the whole path would.
_DIRECTORY_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)
# O_NONBLOCK: opening a pipe without a writer must not wait for one.
_FILE_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY

_MISSING = (
    "image-missing",
    "does not exist; add the file below --images-root or remove the reference",
)
_UNREADABLE = ("image-unreadable", "cannot be read ({error}); give the job read permission")
_FAULT_BY_ERRNO = {
    errno.ENOENT: _MISSING,
    errno.ENOTDIR: (
        "image-missing",
        "leads through something that is not a directory; fix the reference",
    ),
    errno.ELOOP: ("image-missing", "follows symbolic links in a circle; point the link at a file"),
    errno.ENAMETOOLONG: (
        "image-path-invalid",
        "has a name longer than the file system allows; shorten it",
    ),
    errno.ENXIO: ("image-not-a-file", "is a socket or device; name a picture file"),
    errno.ENODEV: ("image-not-a-file", "is a device; name a picture file"),
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on the cost of one image; the defaults are the command line's.

    Raises ValueError that names the option of a value outside its range.
    """

    max_bytes: int = option(
        32 * 1024 * 1024,
        "largest image file",
        flag="--max-image-bytes",
        minimum=1,
        rebuilds=True,
    )
    max_pixels: int = option(
        50_000_000,
        "most pixels, width x height in the header",
        flag="--max-image-pixels",
        minimum=1,
        maximum=MAX_DECODABLE_PIXELS,
        rebuilds=True,
    )
    max_side_ratio: float = option(
        20.0,
        "longer side by shorter side",
        flag="--max-image-side-ratio",
        metavar="X",
        minimum=1,
        rebuilds=True,
    )
    max_frames: int = option(
        500,
        "most frames of an animation, or pages of a TIFF file",
        flag="--max-image-frames",
        minimum=1,
        rebuilds=True,
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True)
class PictureProblem:
    """Why a picture cannot be used: a registered reason id of effect `flag` and a message for
    people.
    """

    reason: str
    message: str

    def __post_init__(self) -> None:
        check_registered(self.reason, Effect.FLAG)


def locate(root: str, reference: str, limits: ImageLimits) -> str | PictureProblem:
    """Return the SHA-256 of the picture file's bytes, 64 hexadecimal digits, or why it cannot be
    read.

    root: a local directory or a URL of a file system that Beam knows (gs://, s3://).
    reference: a path relative to `root`.
    """
    digest = hashlib.sha256()
    return _read(root, reference, limits, digest.update) or digest.hexdigest()


def version_of(root: str, reference: str) -> str:
    """Return what tells, without reading it, whether an image file has changed: its size and its
    time of modification.

    Empty where there is no such file, or it may not be looked at. Equal versions: the file was not
    written in between, as far as its file system says.
    """
    if path_problem(reference) is not None:
        return ""
    try:
        if not storage.is_local(root):
            return version_text(storage.find_file(_remote_path(root, reference)))
        # Only looked at, never opened: where links lead is checked when the file is read.
        status = os.stat(os.path.join(root, reference))  # noqa: PTH116, PTH118
    except Exception:
        # Each file system has its own exceptions; reading the file says what is wrong with it.
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def version_text(found: storage.FoundFile) -> str:
    """Return the version of an object in a store."""
    return f"{found.size_bytes}:{found.modified_secs}"


def read_picture(root: str, reference: str, limits: ImageLimits) -> bytes | PictureProblem:
    """Return the picture file's bytes, at most `limits.max_bytes`, or why it cannot be read;
    arguments as in `locate`.
    """
    content = bytearray()
    return _read(root, reference, limits, content.extend) or bytes(content)


def _read(
    root: str, reference: str, limits: ImageLimits, take: Callable[[bytes], object]
) -> PictureProblem | None:
    """Feed the file to `take` in chunks; None when all of it was fed, else why it was not."""
    problem = path_problem(reference)
    if problem is None:
        read = _read_local if storage.is_local(root) else _read_remote
        problem = read(root, reference, limits, take)
    return problem


def path_problem(reference: str) -> PictureProblem | None:
    """Return what the reference's text alone shows to be wrong."""
    if not reference.strip():
        return _problem(
            "image-path-invalid", reference, "is empty; give a path relative to --images-root"
        )
    if len(reference) > MAX_REFERENCE_CHARS:
        fault = (
            f"has {len(reference):,} characters, at most {MAX_REFERENCE_CHARS:,} are allowed; "
            "shorten the path"
        )
        return _problem("image-path-invalid", reference, fault)
    odd = None
    if not reference.isprintable():
        odd = next((c for c in reference if unicodedata.category(c) in ("Cc", "Cs")), None)
    if odd is not None:
        fault = f"holds U+{ord(odd):04X}, a control character or half a surrogate pair; remove it"
        return _problem("image-path-invalid", reference, fault)
    if scheme := _SCHEME.match(reference):
        others = " (write ./ before a file name with a colon)"
        if scheme[0].lower() in ("http:", "https:"):
            others = ", or name its host in --fetch-images"
        fault = (
            f"starts with the scheme {scheme[0]!r}; download the picture and give a path relative "
            f"to --images-root{others}"
        )
        return _problem("image-path-invalid", reference, fault)
    if reference.startswith(("/", "\\", "~")) or _DRIVE.match(reference):
        return _problem(
            "image-outside-root",
            reference,
            "is absolute; give a path relative to --images-root, or set record.images.strip_prefix",
        )
    if ".." in _SEPARATORS.split(reference):
        return _problem(
            "image-outside-root",
            reference,
            "climbs with '..'; give a path that stays below --images-root",
        )
    return None


def _read_local(
    root: str, reference: str, limits: ImageLimits, take: Callable[[bytes], object]
) -> PictureProblem | None:
    try:
        real_root = Path(os.path.realpath(root))
        real_path = Path(os.path.realpath(real_root / reference))
        if not real_path.is_relative_to(real_root):
            fault = "leads out of --images-root by a symbolic link; keep pictures below it"
            return _problem("image-outside-root", reference, fault)
        descriptor = _open_below(real_root, real_path)
        try:
            # The descriptor is asked, not the path: the path may name another file by now.
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return _problem(
                    "image-not-a-file",
                    reference,
                    "is a directory, pipe or device; name a picture file",
                )
            return _feed(partial(os.read, descriptor), status.st_size, reference, limits, take)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason, fault = _FAULT_BY_ERRNO.get(error.errno or 0, _UNREADABLE)
        return _problem(reason, reference, fault.format(error=error.strerror))


def _open_below(real_root: Path, real_path: Path) -> int:
    """Return a descriptor of the file, reached without following any symbolic link below
    `real_root`.
    """
    *directories, name = real_path.relative_to(real_root).parts or (".",)
    directory = os.open(real_root, _DIRECTORY_FLAGS)
    try:
        for part in directories:
            parent, directory = directory, os.open(part, _DIRECTORY_FLAGS, dir_fd=directory)
            os.close(parent)
        return os.open(name, _FILE_FLAGS, dir_fd=directory)
    finally:
        os.close(directory)


def _read_remote(
    root: str, reference: str, limits: ImageLimits, take: Callable[[bytes], object]
) -> PictureProblem | None:
    path = _remote_path(root, reference)
    try:
        size_bytes = storage.size_bytes(path)
        with storage.open_file(path) as stream:
            return _feed(stream.read, size_bytes, reference, limits, take)
    except (
        Exception
    ) as error:  # each file system has its own exceptions for what is missing or forbidden
        reason, fault = _MISSING if storage.is_missing(path) else _UNREADABLE
        return _problem(reason, reference, fault.format(error=f"{type(error).__name__}: {error}"))


def _remote_path(root: str, reference: str) -> str:
    return storage.join(root, *path_parts(reference))


def path_parts(reference: str) -> list[str]:
    """Return folders and name of an object, which has no empty parts."""
    return [part for part in reference.split("/") if part not in ("", ".")]


def _feed(
    read: Callable[[int], bytes],
    size_bytes: int,
    reference: str,
    limits: ImageLimits,
    take: Callable[[bytes], object],
) -> PictureProblem | None:
    if size_bytes > limits.max_bytes:
        return _too_large(f"has {size_bytes:,} bytes", reference, limits)
    fed_bytes = 0
    while chunk := read(_CHUNK_BYTES):
        fed_bytes += len(chunk)
        if fed_bytes > limits.max_bytes:
            return _too_large("grew while it was read", reference, limits)
        take(chunk)
    return (
        None
        if fed_bytes
        else _problem("image-empty", reference, "has zero bytes; export the picture again")
    )


def _too_large(finding: str, reference: str, limits: ImageLimits) -> PictureProblem:
    fault = (
        f"{finding}, at most {limits.max_bytes:,} are allowed; shrink it or raise --max-image-bytes"
    )
    return _problem("image-too-many-bytes", reference, fault)


def _problem(reason: str, reference: str, fault: str) -> PictureProblem:
    return PictureProblem(reason, f"{shown(reference)} {fault}")


def picture_path(pictures_dir: str, digest: str) -> str:
    """Where the prepared picture of this content lies, a JPEG file in base64."""
    return storage.join(pictures_dir, digest[:2], f"{digest}.jpg.b64")
