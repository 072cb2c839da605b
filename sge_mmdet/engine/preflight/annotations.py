"""The parts of an annotation file that the checks need, read once.

Of a large file, which takes seconds to parse, the parts are searched for in
the text.
"""

import json
import mmap
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ...utils import check_json_file, load_json
from ...utils.json_files import WHOLE_FILE_BYTES

FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')
AREA = re.compile(rb'"area"\s*:\s*([0-9.eE+-]+)')
# Longest text of the categories, in bytes; LVIS's has 0.5 MB.
CATEGORY_BYTES = 5_000_000
# Images that are looked for.
SAMPLE = 20


class AnnotationFile:
    """An annotation file in COCO's format.

    Args:
        path (Path): The file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not JSON.

    Attributes:
        path (Path): The file.
        content (Any): Its content; None if the file is large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: Any = None
        if path.is_file() and path.stat().st_size > WHOLE_FILE_BYTES:
            check_json_file(path)
        else:
            self.content = load_json(path)

    def category_names(self) -> Optional[List[Any]]:
        """Return the names of the categories; None if they are not found."""
        if self.content is None:
            entries = _find_categories(self._text())
        else:
            entries = self._list('categories')
        if not entries or not all(_is_named(entry) for entry in entries):
            return None
        return [entry['name'] for entry in entries]

    def image_names(self) -> List[str]:
        """Return the file names of some images."""
        if self.content is None:
            found = zip(range(SAMPLE), FILE_NAME.finditer(self._text()))
            return [json.loads(match[1]) for _, match in found]
        names = [
            image['file_name']
            for image in self._list('images')
            if isinstance(image, dict)
            and isinstance(image.get('file_name'), str)
        ]
        return names[:: max(len(names) // SAMPLE, 1)]

    def lacks_areas(self) -> bool:
        """Return whether an object has no area, which CocoDataset needs."""
        return self.content is not None and any(
            isinstance(entry, dict) and 'area' not in entry
            for entry in self._list('annotations')
        )

    def has_area(self, limits: Tuple[float, float]) -> bool:
        """Return whether an object that counts has an area within limits.

        Args:
            limits (tuple[float, float]): Smallest and largest area, in square
                pixels.
        """
        return any(limits[0] <= area <= limits[1] for area in self._areas())

    def _areas(self) -> Iterator[float]:
        if self.content is None:
            for match in AREA.finditer(self._text()):
                yield float(match[1])
            return
        for entry in self._list('annotations'):
            if isinstance(entry, dict) and not entry.get('iscrowd'):
                area = entry.get('area')
                if isinstance(area, (int, float)):
                    yield area

    def _text(self) -> mmap.mmap:
        """Return the text; it is unmapped when the last match is gone."""
        with self.path.open('rb') as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _list(self, key: str) -> List[Any]:
        value = (
            self.content.get(key) if isinstance(self.content, dict) else None
        )
        return value if isinstance(value, list) else []


def _is_named(entry: Any) -> bool:
    return isinstance(entry, dict) and 'name' in entry


def _find_categories(text: mmap.mmap) -> List[Dict[str, Any]]:
    """Return the list of categories in the text of a large file."""
    place = text.rfind(b'"categories"')
    while place >= 0:
        start = text.find(b'[', place)
        between = text[place + len(b'"categories"') : max(start, place)]
        if between.strip() == b':':
            part = text[start : start + CATEGORY_BYTES]
            try:
                entries, _ = json.JSONDecoder().raw_decode(
                    part.decode(errors='replace')
                )
            except ValueError:
                entries = []
            if entries and all(_is_named(entry) for entry in entries):
                return list(entries)
        place = text.rfind(b'"categories"', 0, place)
    return []
