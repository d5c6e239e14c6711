"""What a picture file's bytes tell without decoding: its format, how many frames it has, whether it
ends early.

bytes → format name | frames | bool.
"""

from __future__ import annotations

import re
import struct

# The formats that are read, by Pillow's names.
READ_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

_READ_MAGIC = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    # Two letters are too few to tell BMP from text: the header's size has to be one that exists.
    "BMP": re.compile(rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
}
_UNREAD_MAGIC = {
    "Canon raw": re.compile(rb"II\*\0....CR|....ftypcrx ", re.DOTALL),
    "AVIF": re.compile(
        rb"....ftyp(?:avi[fs]|(?:mif1|msf1|miaf).{4}(?:.{4}){0,8}?avi[fs])", re.DOTALL
    ),
    "HEIC": re.compile(rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1|miaf)", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    "JPEG 2000": re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    "PDF": re.compile(rb"%PDF-"),
    "PostScript": re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"),
    "PSD": re.compile(rb"8BPS\0[\x01\x02]"),
    "ICO": re.compile(rb"\0\0\x01\0[^\0]"),
    "CUR": re.compile(rb"\0\0\x02\0[^\0]"),
    "ICNS": re.compile(rb"icns"),
    "SVG": re.compile(
        rb"(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg\b[^>\[]*+(?:\[.*?\]\s*+)?>)*+<(?:svg:)?svg\b",
        re.DOTALL | re.IGNORECASE,
    ),
    "Netpbm": re.compile(rb"P[1-7]\s+(?:#|WIDTH|-?\d)"),
    "QOI": re.compile(rb"qoif"),
    "DDS": re.compile(rb"DDS \x7c\0\0\0"),
    "OpenEXR": re.compile(rb"\x76\x2f\x31\x01"),
    "Radiance HDR": re.compile(rb"#\?(?:RADIANCE|RGBE)"),
    "XCF": re.compile(rb"gimp xcf"),
    "DjVu": re.compile(rb"AT&TFORM"),
    "WMF": re.compile(rb"\xd7\xcd\xc6\x9a"),
    "EMF": re.compile(rb"\x01\0\0\0.{36} EMF", re.DOTALL),
    "MNG": re.compile(rb"\x8a[MJ]NG\r\n\x1a\n|\x8bJNG\r\n\x1a\n"),
}
_SNIFFED_BYTES = 4096
_EXIF_MARK, _VOID_MARK = b"Exif\0\0", b"Void\0\0"


def read_format(data: bytes) -> str | None:
    """Return the format among READ_FORMATS that the first bytes claim, or None."""
    return next((name for name, magic in _READ_MAGIC.items() if magic.match(data)), None)


def unread_format(data: bytes) -> str | None:
    """Return the name of a picture format that is not read here, or None when the first bytes
    belong to none.
    """
    start = data[:_SNIFFED_BYTES]
    return next((name for name, magic in _UNREAD_MAGIC.items() if magic.match(start)), None)


def without_further_exif(data: bytes) -> bytes:
    """Blank the mark of every EXIF segment but the first in a JPEG file; other data stays as it is.

    Pillow joins them, and copies the joined bytes for each tag that names them: 2 MB can become
    gigabytes.
    """
    end = data.find(_EXIF_MARK) + len(_EXIF_MARK)
    if not data.startswith(b"\xff\xd8") or data.find(_EXIF_MARK, end) < 0:
        return data
    return data[:end] + data[end:].replace(_EXIF_MARK, _VOID_MARK)


def riff_ends_early(data: bytes) -> bool:
    """Tell whether a WebP file has fewer bytes than its RIFF header says."""
    return len(data) < 8 + int.from_bytes(data[4:8], "little")


def count_gif_frames(data: bytes, most: int) -> int:
    """Frames of a GIF file, counted up to a frame that breaks off and no further than `most` + 1.

    Not Pillow's n_frames, which reads all frames first and fails on a later one that breaks off.
    """
    frames = 0
    try:
        position = 13 + _gif_palette_bytes(data[10])
        while frames <= most and data[position] in b",!":
            if data[position] == ord(","):
                frames += 1
                position += 11 + _gif_palette_bytes(data[position + 9])
            else:
                position += 2
            while block_bytes := data[position]:
                position += 1 + block_bytes
            position += 1
    except IndexError:
        pass
    return frames


def _gif_palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def count_tiff_pages(data: bytes, most: int) -> int:
    """Pages of a TIFF or BigTIFF file, counted up to one that breaks off and no further than `most`
    + 1.

    Not Pillow's n_frames, which is quadratic in the number of pages and fails on a later page that
    it cannot read.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    link, entries, entry_bytes = (
        (order + "Q", order + "Q", 20) if big else (order + "I", order + "H", 12)
    )
    seen: set[int] = set()
    try:
        (page,) = struct.unpack_from(link, data, 8 if big else 4)
        while page and page not in seen and len(seen) <= most:
            (count,) = struct.unpack_from(entries, data, page)
            seen.add(page)
            (page,) = struct.unpack_from(
                link, data, page + struct.calcsize(entries) + count * entry_bytes
            )
    except (struct.error, OverflowError):
        pass
    return len(seen)
